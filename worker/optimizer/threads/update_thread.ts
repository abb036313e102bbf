/// <reference lib="deno.worker" />
/** One of the engine's helpers: takes pieces of an update until none is left, then says so. */
import { type UpdateWork, work } from "./update_work.ts";

self.onmessage = ({ data }: MessageEvent<UpdateWork>) => {
  work(data);
  self.postMessage(null);
};

/// <reference lib="deno.worker" />
/** Polls /healthz in a thread of its own, so that the benchmark's own work does not count. */
import { systemClock } from "../../../shared/clock.ts";

/** Pause between two polls. */
const POLL_MS = 20;

let isOver = false;
let asking: Promise<number[]> | null = null;

async function ask(url: string): Promise<number[]> {
  const times: number[] = [];
  while (!isOver || times.length === 0) {
    const askedAt = performance.now();
    await (await fetch(url)).arrayBuffer();
    times.push(performance.now() - askedAt);
    await systemClock.sleep(POLL_MS);
  }
  return times;
}

/** A URL starts polling; null ends it, and the reply is the milliseconds of each answer. */
self.onmessage = async ({ data }: MessageEvent<string | null>) => {
  if (data !== null) {
    isOver = false;
    asking = ask(data);
    return;
  }
  isOver = true;
  self.postMessage(await asking);
};

/// <reference lib="deno.worker" />
/** One of the threads that take a base model's weights apart. */
import { messageOf } from "../../../shared/errors.ts";
import { createStarts, type StartAnswer, type StartCall } from "./start_calls.ts";

const startFor = createStarts();

self.onmessage = async ({ data }: MessageEvent<StartCall>) => {
  try {
    const factors = await startFor(data);
    self.postMessage(
      { factors } satisfies StartAnswer,
      [factors.a.buffer, factors.b.buffer] as ArrayBuffer[],
    );
  } catch (thrown) {
    self.postMessage({ failure: messageOf(thrown) } satisfies StartAnswer);
  }
};

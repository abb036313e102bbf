/** A thread for thread_pool_test.ts: says which of its calls this is; throws, or breaks, if it is told to. */
import { serveCalls } from "./thread_calls.ts";

export interface FixtureCall {
  readonly value: number;
  readonly does: "answer" | "throw" | "break";
  readonly bytes?: Uint8Array<ArrayBuffer>;
}
export interface FixtureAnswer {
  readonly value: number;
  readonly callOfThread: number;
  readonly bytes: Uint8Array<ArrayBuffer> | null;
}

let calls = 0;

serveCalls(async ({ value, does, bytes = new Uint8Array() }: FixtureCall) => {
  calls++;
  if (does === "throw") throw new RangeError(`cannot work on ${value}`);
  if (does === "break") queueMicrotask(() => reportError(new Error("out of order")));
  await Promise.resolve();
  const answer: FixtureAnswer = { value: 2 * value, callOfThread: calls, bytes };
  return { answer, transfer: [bytes.buffer] };
});

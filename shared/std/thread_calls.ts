/// <reference lib="deno.worker" />
/** The thread's side of a pool (thread_pool.ts). */

export interface CallMessage {
  readonly call: unknown;
}

export type ReplyMessage =
  | { readonly answer: unknown }
  | { readonly thrown: string; readonly stack: string | null };

export interface Answered<Answer> {
  readonly answer: Answer;
  /** Buffers of the answer that are handed over instead of being copied. */
  readonly transfer?: Transferable[];
}

/** Answers calls one after the other. What `work` throws reaches the caller as a message alone: expected errors are answers. */
export function serveCalls<Call, Answer>(
  work: (call: Call) => Answered<Answer> | Promise<Answered<Answer>>,
): void {
  self.onmessage = async ({ data }: MessageEvent<CallMessage>) => {
    try {
      const { answer, transfer = [] } = await work(data.call as Call);
      self.postMessage({ answer } satisfies ReplyMessage, transfer);
    } catch (thrown) {
      const [message, stack] = thrown instanceof Error ? [thrown.message, thrown.stack] : [String(thrown)];
      self.postMessage({ thrown: message, stack: stack ?? null } satisfies ReplyMessage);
    }
  };
}

/**
 * A few threads that do the same kind of work. Calls begin in the order in which they are made, each on the first thread that is
 * free. The threads' program calls `serveCalls` (thread_calls.ts).
 */
import type { CallMessage, ReplyMessage } from "./thread_calls.ts";

export interface ThreadPoolOptions {
  /** The threads' program: `new URL("./my_thread.ts", import.meta.url)`. */
  readonly script: URL;
  /** How many; at least 1. */
  readonly threads: number;
  /** Of the threads, for debuggers. */
  readonly name: string;
}

/** A thread could not begin, or its program threw: a defect, or a machine without memory. */
export class ThreadError extends Error {
  override readonly name = "ThreadError";
}

interface Waiting<Call, Answer> {
  readonly call: Call;
  readonly transfer: Transferable[];
  readonly settled: PromiseWithResolvers<Answer>;
}

/** Dispose of it to end its threads at once; calls that still run then reject. */
export class ThreadPool<Call, Answer> implements Disposable {
  readonly size: number;
  readonly #threads: Worker[];
  readonly #free: Worker[];
  readonly #queue: Waiting<Call, Answer>[] = [];
  readonly #running = new Map<Worker, PromiseWithResolvers<Answer>>();
  #ended: ThreadError | null = null;

  constructor({ script, threads, name }: ThreadPoolOptions) {
    this.size = threads;
    this.#threads = Array.from({ length: threads }, () => this.#open(script, name));
    this.#free = [...this.#threads];
  }

  /**
   * What the threads' program answers to `call`, which is copied, but for what is in `transfer`. Rejects with a `ThreadError` if
   * the program throws; after one that could not be caught in its thread the whole pool has ended.
   */
  run(call: Call, transfer: Transferable[] = []): Promise<Answer> {
    const settled = Promise.withResolvers<Answer>();
    if (this.#ended !== null) settled.reject(this.#ended);
    else {
      this.#queue.push({ call, transfer, settled });
      this.#next();
    }
    return settled.promise;
  }

  [Symbol.dispose](): void {
    this.#end(new ThreadError("the threads were ended"));
  }

  #open(script: URL, name: string): Worker {
    const thread = new Worker(script, { type: "module", name });
    thread.onmessage = ({ data }: MessageEvent<ReplyMessage>) => {
      const settled = this.#running.get(thread);
      this.#running.delete(thread);
      this.#free.push(thread);
      if ("thrown" in data) settled?.reject(asError(data.thrown, data.stack));
      else settled?.resolve(data.answer as Answer);
      this.#next();
    };
    thread.onerror = (event) => {
      event.preventDefault(); // an unhandled error would end the process
      this.#end(new ThreadError(event.message));
    };
    return thread;
  }

  #next(): void {
    if (this.#free.length === 0) return;
    const waiting = this.#queue.shift();
    if (waiting === undefined) return;
    const { call, transfer, settled } = waiting;
    const thread = this.#free.shift()!;
    try {
      thread.postMessage({ call } satisfies CallMessage, transfer);
    } catch (thrown) {
      this.#free.push(thread);
      settled.reject(thrown);
      return this.#next();
    }
    this.#running.set(thread, settled);
  }

  #end(why: ThreadError): void {
    if (this.#ended !== null) return;
    this.#ended = why;
    for (const thread of this.#threads) thread.terminate();
    for (const settled of this.#running.values()) settled.reject(why);
    for (const { settled } of this.#queue) settled.reject(why);
    this.#running.clear();
    this.#queue.length = 0;
  }
}

function asError(message: string, stack: string | null): ThreadError {
  const error = new ThreadError(message);
  if (stack !== null) error.stack = stack;
  return error;
}

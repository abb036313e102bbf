/**
 * The threads that compute updates: the one that asks, and helpers. On a machine with one core, and for a small adapter, there
 * are no helpers; if one dies, the asking thread does the work again, alone.
 */
import { type UpdateWork, work } from "./update_work.ts";

/** Below this many elements per thread, a helper costs more than it saves. */
const ELEMENTS_PER_THREAD = 2 ** 20;
/** Beyond it the machine's memory is the limit. */
const MAX_THREADS = 8;

/** Threads for an adapter of this size, the asking one included. */
export function threadsFor(elementCount: number, cores: number): number {
  return Math.max(1, Math.min(cores, MAX_THREADS, Math.floor(elementCount / ELEMENTS_PER_THREAD)));
}

interface Helper {
  readonly thread: Worker;
  /** Of the work that it is doing; null while it waits. */
  answer: PromiseWithResolvers<void> | null;
  /** Why it ended; null while it lives. */
  failure: Error | null;
}

export class Crew {
  #helpers: Helper[];
  readonly #tell: (note: string) => void;

  /**
   * @param tell gets a sentence for each helper that has ended
   * @param script the helpers' module; tests pass their own
   */
  constructor(
    threadCount: number,
    tell: (note: string) => void = () => {},
    script: URL = new URL("./update_thread.ts", import.meta.url),
  ) {
    this.#tell = tell;
    this.#helpers = Array.from({ length: threadCount - 1 }, () => startHelper(script));
  }

  /** The asking one included. */
  get threadCount(): number {
    return this.#helpers.length + 1;
  }

  /** Resolves when all pieces are computed. Blocks the calling thread while there are any to take. */
  async do(on: UpdateWork): Promise<void> {
    const answers = this.#helpers.map((helper) => askHelper(helper, on));
    work(on);
    await Promise.all(answers);
    const lost = this.#helpers.filter(({ failure }) => failure !== null);
    if (lost.length === 0) return;
    this.#helpers = this.#helpers.filter(({ failure }) => failure === null);
    for (const { failure } of lost) {
      this.#tell(
        `a thread of the optimizer has ended (${failure!.message}): its work is done again without it`,
      );
    }
    // A lost helper may have left a piece undone; nothing that was read has changed.
    Atomics.store(on.taken, 0, 0);
    work(on);
  }

  close(): void {
    for (const { thread } of this.#helpers) thread.terminate();
    this.#helpers = [];
  }
}

function startHelper(script: URL): Helper {
  const thread = new Worker(script, { type: "module", name: "update" });
  const helper: Helper = { thread, answer: null, failure: null };
  thread.onmessage = () => helper.answer?.resolve();
  thread.onerror = (event) => {
    event.preventDefault(); // an unhandled error would end the engine
    helper.failure = new Error(event.message);
    helper.answer?.resolve();
  };
  return helper;
}

/** Resolves when it has nothing left to take, or has ended. */
async function askHelper(helper: Helper, on: UpdateWork): Promise<void> {
  if (helper.failure !== null) return;
  helper.answer = Promise.withResolvers();
  helper.thread.postMessage(on);
  await helper.answer.promise;
}

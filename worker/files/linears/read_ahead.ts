/**
 * Reads a base model's linear layers in the order in which they are loaded, ahead of the loader and in several threads: while one
 * weight is uploaded, the next ones are read and quantised. The bits do not depend on the number of threads.
 */
import { messageOf } from "../../../shared/errors.ts";
import type { Checkpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import type { Nf4Weights } from "../../../shared/checkpoint/nf4/nf4.ts";
import { linearModules } from "../../../shared/model/model_tensors.ts";
import { ThreadError, ThreadPool } from "../../../shared/std/thread_pool.ts";
import { errorOf } from "../../async/thread_messages.ts";
import type { Nf4Cache } from "./nf4_cache.ts";
import { cachedBytes } from "./nf4_cache_file.ts";
import { answerLinear, type LinearAnswer, type LinearCall } from "./read_linear.ts";
import { linearThreads } from "./linear_threads.ts";

export interface ReadAheadOptions {
  readonly doubleQuantization: boolean;
  /** Null: weights are quantised at each start. */
  readonly cache: Nf4Cache | null;
  /** Left out: by processors and free memory. */
  readonly threads?: number;
  /** The threads' program; tests pass their own. */
  readonly script?: URL;
  /** What is known before. */
  readonly warnings?: readonly string[];
}

/** Weights that are read and not yet loaded take so many bytes at most, or are one. */
const AHEAD_BYTES = 512 * 2 ** 20;

interface Ahead {
  readonly answer: Promise<LinearAnswer>;
  readonly bytes: number;
}

/** Dispose of it after loading: it ends the threads. */
export class LinearReader implements Disposable {
  /** The base model, whose `readLinear` takes what was read ahead. */
  readonly checkpoint: Checkpoint;
  readonly #calls: ReadonlyMap<string, LinearCall>;
  readonly #waiting: string[];
  readonly #ahead = new Map<string, Ahead>();
  readonly #threads: number;
  #pool: ThreadPool<LinearCall, LinearAnswer> | null = null;
  #aheadBytes = 0;
  readonly #cache: Nf4Cache | null;
  readonly #seen = { quantised: 0, cached: 0, damaged: [] as string[], notKept: null as string | null };
  readonly #warnings: readonly string[];
  readonly #script: URL;
  #threadProblem: string | null = null;
  #began: number | null = null;
  #seconds = 0;

  constructor(checkpoint: Checkpoint, options: ReadAheadOptions) {
    const { doubleQuantization, cache, threads, warnings = [] } = options;
    this.#warnings = warnings;
    this.#script = options.script ?? new URL("./linear_thread.ts", import.meta.url);
    this.#cache = cache;
    this.#calls = callsFor(checkpoint, doubleQuantization, cache);
    this.#waiting = [...this.#calls.keys()];
    this.#threads = threads ?? linearThreads([...this.#calls.values()].map(({ options }) => options));
    this.checkpoint = {
      ...checkpoint,
      readTensor: (name, shape) => {
        this.#begin();
        return checkpoint.readTensor(name, shape);
      },
      readPieces: (...args) => {
        this.#begin(); // tables come first: meanwhile threads are busy with layers
        return checkpoint.readPieces(...args);
      },
      readLinear: (name, rows, columns, options) => {
        const call = this.#calls.get(name);
        const isPlanned = call?.options.doubleQuantization === options.doubleQuantization;
        return isPlanned ? this.#take(name, call) : checkpoint.readLinear(name, rows, columns, options);
      },
    };
  }

  [Symbol.dispose](): void {
    this.#pool?.[Symbol.dispose]();
    this.#pool = null;
    this.#waiting.length = 0;
  }

  /** What loading took, for the log; null if the base model is stored in NF4. */
  get text(): string | null {
    const { quantised, cached, notKept } = this.#seen;
    if (quantised + cached === 0) return null;
    const [isKept, folder] = [this.#cache !== null && notKept === null, this.#cache?.folder];
    const parts = [
      ...cached === 0 ? [] : [`${cached} read from ${folder}`],
      ...quantised === 0 ? [] : [`${quantised} quantised${isKept ? ` and kept in ${folder}` : ""}`],
    ];
    const by = this.#threads === 1 ? "one thread" : `${this.#threads} threads`;
    return `linear layers in NF4: ${parts.join(", ")}, by ${by} in ${this.#seconds.toFixed(1)} s`;
  }

  /** What went wrong without stopping the load. */
  get warnings(): readonly string[] {
    const { damaged, notKept } = this.#seen;
    const [first] = damaged;
    return [
      ...this.#warnings,
      ...first === undefined ? [] : [
        `NF4 cache: ${first}${
          damaged.length === 1 ? "" : `, and ${damaged.length - 1} more files likewise`
        }; ` +
        `quantised again`,
      ],
      ...notKept === null ? [] : [`NF4 cache: weights are not kept in ${this.#cache!.folder}: ${notKept}`],
      ...this.#threadProblem === null ? [] : [`reading linear layers in one thread: ${this.#threadProblem}`],
    ];
  }

  #begin(): void {
    if (this.#began !== null) return;
    this.#began = performance.now();
    if (this.#threads === 1) return;
    this.#pool = new ThreadPool({ script: this.#script, threads: this.#threads, name: "linear layers" });
    this.#fill();
  }

  #fill(): void {
    while (this.#pool !== null && this.#waiting.length > 0) {
      const name = this.#waiting[0]!;
      const call = this.#calls.get(name)!;
      const bytes = cachedBytes(call.options);
      if (this.#ahead.size > 0 && this.#aheadBytes + bytes > AHEAD_BYTES) return;
      this.#waiting.shift();
      const answer = this.#runIn(this.#pool, name, call);
      answer.catch(() => {}); // whoever takes it sees the error
      this.#ahead.set(name, { answer, bytes });
      this.#aheadBytes += bytes;
    }
  }

  async #runIn(
    pool: ThreadPool<LinearCall, LinearAnswer>,
    name: string,
    call: LinearCall,
  ): Promise<LinearAnswer> {
    return await pool.run(await this.#current(name, call));
  }

  /** A disk that does not take one weight is not asked to take the others. */
  async #current(name: string, call: LinearCall): Promise<LinearCall> {
    return { ...call, start: await this.checkpoint.linearStart?.(name), keep: this.#seen.notKept === null };
  }

  async #take(name: string, call: LinearCall): Promise<Nf4Weights> {
    this.#begin();
    const answer = await this.#answer(name, call);
    if ("failure" in answer) throw errorOf(answer.failure);
    const { weights, from, damage, notKept } = answer;
    if (from === "cache") this.#seen.cached++;
    else this.#seen.quantised++;
    if (damage !== null) this.#seen.damaged.push(damage);
    this.#seen.notKept ??= notKept;
    this.#seconds = (performance.now() - this.#began!) / 1000;
    return weights;
  }

  async #answer(name: string, call: LinearCall): Promise<LinearAnswer> {
    const ahead = this.#ahead.get(name);
    if (ahead === undefined) return await this.#here(name, call);
    this.#ahead.delete(name);
    try {
      return await ahead.answer;
    } catch (thrown) {
      if (!(thrown instanceof ThreadError)) throw thrown;
      this.#threadProblem ??= messageOf(thrown);
      return await this.#here(name, call);
    } finally {
      this.#aheadBytes -= ahead.bytes;
      this.#fill();
    }
  }

  async #here(name: string, call: LinearCall): Promise<LinearAnswer> {
    const at = this.#waiting.indexOf(name);
    if (at >= 0) this.#waiting.splice(at, 1);
    return answerLinear(await this.#current(name, call));
  }
}

function callsFor(
  { spec, linearPlace }: Checkpoint,
  doubleQuantization: boolean,
  cache: Nf4Cache | null,
): Map<string, LinearCall> {
  const calls = new Map<string, LinearCall>();
  for (const { name, outFeatures, inFeatures } of linearModules(spec)) {
    const place = linearPlace(name, outFeatures, inFeatures);
    if (place === null) continue; // stored in NF4: read as it is
    const options = { rows: outFeatures, columns: inFeatures, doubleQuantization };
    calls.set(name, { place, options, cache: cache?.entryOf(place.name) ?? null, keep: true });
  }
  return calls;
}

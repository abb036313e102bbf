/** Rows are built on several threads of a preparation's process (docs/decisions/0047). */
import type { RowsElsewhere } from "../../../shared/data/examples/take_rows.ts";
import { ThreadPool } from "../../../shared/std/thread_pool.ts";
import { builtOf, type RowsAnswer, type RowsCall, type RowsSetUp } from "./rows_calls.ts";

/** The thread that reads, packs and writes keeps up with about so many. */
const MAX_THREADS = 6;
/** Less is built before threads have loaded the tokenizer. */
const FEW_BYTES = 2 ** 25;
/** Measured, rounded up: an isolate with the pieces that a tokenizer remembers, and what each byte of tokenizer.json becomes. */
const THREAD_BYTES = 96 * 2 ** 20;
const BYTES_A_TOKENIZER_BYTE = 18;
/** Of the memory that is free, so much is for threads. */
const MEMORY_SHARE = 1 / 8;

/**
 * How many threads build the rows; 1: that which reads them does it itself.
 * @param bytes of all files
 * @param tokenizerBytes of tokenizer.json
 */
export function threadsFor(
  bytes: number,
  tokenizerBytes: number,
  { processors, availableBytes } = machine(),
): number {
  if (bytes < FEW_BYTES || processors < 2) return 1;
  const threadBytes = THREAD_BYTES + BYTES_A_TOKENIZER_BYTE * tokenizerBytes;
  const fitting = Math.floor(availableBytes * MEMORY_SHARE / threadBytes);
  return Math.max(1, Math.min(processors, MAX_THREADS, fitting));
}

function machine() {
  return {
    processors: navigator.hardwareConcurrency,
    availableBytes: Deno.systemMemoryInfo().available,
  };
}

/** Dispose of it to end the threads. */
export function openRowsPool(threads: number, setUp: RowsSetUp): RowsElsewhere & Disposable {
  const script = new URL("./rows_thread.ts", import.meta.url);
  const pool = new ThreadPool<RowsCall, RowsAnswer>({ script, threads, name: "rows" });
  return {
    lanes: threads,
    build: async (rows) => builtOf(await pool.run({ ...setUp, rows })),
    [Symbol.dispose]: () => pool[Symbol.dispose](),
  };
}

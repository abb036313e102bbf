/** How many threads read linear layers. */
interface Shape {
  readonly rows: number;
  readonly columns: number;
}

/** Below so many weights in all, threads take longer to begin than the work. */
const FEW_WEIGHTS = 2 ** 25;
const MAX_THREADS = 16;
/** Of a thread: its program, the kernel's memory, and a megabyte of this and that. */
const THREAD_BYTES = 64 * 2 ** 20;

/** One for little work, for one processor, and where memory is short. */
export function linearThreads(
  weights: readonly Shape[],
  { processors, availableBytes } = machine(),
): number {
  const sizes = weights.map(({ rows, columns }) => rows * columns);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total < FEW_WEIGHTS) return 1;
  // A weight in NF4, and the file of the cache that it becomes.
  const largest = sizes.reduce((most, size) => Math.max(most, size), 0);
  const fitting = Math.floor(availableBytes / 2 / (THREAD_BYTES + 1.1 * largest));
  return Math.max(1, Math.min(processors, MAX_THREADS, weights.length, fitting));
}

function machine() {
  return {
    processors: navigator.hardwareConcurrency,
    availableBytes: Deno.systemMemoryInfo().available,
  };
}

/** What the optimizer of a worker takes in main memory (decision 0041). */

/** Memories of WebAssembly grow in pages. */
const PAGE_BYTES = 65536;
/** The gradient sums; adapter and moments as committed, and as the next update leaves them. */
const ARRAYS = 7;

/** @param elementCount of the adapter's flat array, padding included */
export const optimizerHostBytes = (elementCount: number): number => ARRAYS * arrayBytes(elementCount);

/**
 * What a worker takes beside it while others load its state, or while an outer step's inner loop runs: updates go on in new
 * memory, the lent arrays are given back when nobody reads them any more.
 */
export const lentStateBytes = (elementCount: number): number => 3 * arrayBytes(elementCount);

const arrayBytes = (elementCount: number) => Math.ceil(4 * elementCount / PAGE_BYTES) * PAGE_BYTES;

/**
 * Reused memory. Fresh pages cost more than the writes to them (adding into a fresh array takes three to four times as long), and
 * each round would need a gradient's worth.
 */
export interface Scratch {
  /** Memory of at least this size, not cleared. The next call may return the same. */
  take(byteLength: number): ArrayBuffer;
}

export function createScratch(): Scratch {
  let memory = new ArrayBuffer(0);
  return {
    take: (byteLength) => {
      if (memory.byteLength < byteLength) memory = new ArrayBuffer(byteLength);
      return memory;
    },
  };
}

/**
 * Memory that is used again and again. Fresh pages cost more than what is written into them (adding into a fresh array takes
 * three to four times as long), and a round would need them by the gradient.
 */
export interface Scratch {
  /** Of exactly this size or larger; holds whatever was there. The next call may give the same memory. */
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

/** Timestamps of compute passes, in query sets of the size that WebGPU allows. */

/** Entries of a query set: two for each pass. */
const ENTRIES = 4096;
const BYTES = 8;

export class Stopwatch {
  readonly #device: GPUDevice;
  readonly #sets: GPUQuerySet[] = [];
  #passes = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** For the next pass. */
  next(): GPUComputePassTimestampWrites {
    const at = 2 * this.#passes++ % ENTRIES;
    if (at === 0) this.#sets.push(this.#device.createQuerySet({ type: "timestamp", count: ENTRIES }));
    const querySet = this.#sets.at(-1)!;
    return { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  }

  /** Seconds of each pass, in the order of `next`. Waits for what was submitted, and frees the query sets. */
  async read(): Promise<number[]> {
    const seconds: number[] = [];
    for (const [index, set] of this.#sets.entries()) {
      const count = Math.min(ENTRIES, 2 * this.#passes - index * ENTRIES);
      const times = await this.#resolve(set, count);
      for (let at = 0; at < count; at += 2) seconds.push(Number(times[at + 1]! - times[at]!) / 1e9);
      set.destroy();
    }
    return seconds;
  }

  async #resolve(set: GPUQuerySet, count: number): Promise<BigUint64Array> {
    const size = count * BYTES;
    const { COPY_SRC, COPY_DST, QUERY_RESOLVE, MAP_READ } = GPUBufferUsage;
    const resolved = this.#device.createBuffer({ size, usage: QUERY_RESOLVE | COPY_SRC });
    const staging = this.#device.createBuffer({ size, usage: COPY_DST | MAP_READ });
    const encoder = this.#device.createCommandEncoder();
    encoder.resolveQuerySet(set, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
    this.#device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const times = new BigUint64Array(staging.getMappedRange().slice(0));
    for (const buffer of [resolved, staging]) buffer.destroy();
    return times;
  }
}

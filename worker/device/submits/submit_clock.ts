/**
 * Measures submits by the GPU's own clock, where it has one. The timestamps come back with the next read of results, so that
 * nobody waits for them: waiting for a submit to end blocks the thread and then sleeps 10 ms on Deno.
 */

/** Submits of one read that are measured; later ones are not. WebGPU's query sets have at most 4096 entries. */
const MAX_SUBMITS = 1024;
const BYTES = 8;

/** Longer than any submit: what a clock that does not work shows. */
const ABSURD_MS = 600_000;

export class SubmitClock {
  readonly #querySet: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  #used = 0;

  /** @returns null if the device has no such clock */
  static of(device: GPUDevice): SubmitClock | null {
    return device.features.has("timestamp-query") ? new SubmitClock(device) : null;
  }

  private constructor(device: GPUDevice) {
    this.#querySet = device.createQuerySet({ type: "timestamp", count: 2 * MAX_SUBMITS });
    this.#resolved = device.createBuffer({
      label: "timestamps",
      size: 2 * MAX_SUBMITS * BYTES,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
  }

  /** The bytes that `resolve` copies. */
  get byteLength(): number {
    return this.#used * BYTES;
  }

  readonly mostBytes = 2 * MAX_SUBMITS * BYTES;

  /** Marks the beginning or the end of a submit that `encoder` records. */
  mark(encoder: GPUCommandEncoder): void {
    if (this.#used === 2 * MAX_SUBMITS) return;
    const timestampWrites = { querySet: this.#querySet, endOfPassWriteIndex: this.#used++ };
    encoder.beginComputePass({ timestampWrites }).end();
  }

  /** Copies the marks to `target` and starts again. */
  resolve(encoder: GPUCommandEncoder, target: GPUBuffer, byteOffset: number): void {
    if (this.#used === 0) return;
    encoder.resolveQuerySet(this.#querySet, 0, this.#used, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, target, byteOffset, this.byteLength);
    this.#used = 0;
  }

  close(): void {
    this.#querySet.destroy();
    this.#resolved.destroy();
  }
}

/**
 * The milliseconds of each submit, from the marks of its beginning and its end in nanoseconds; null where they make no sense,
 * which some drivers' do not.
 */
export function durationsOf(marks: BigUint64Array): (number | null)[] {
  return Array.from({ length: marks.length >> 1 }, (_, index) => {
    const milliseconds = Number(marks[2 * index + 1]! - marks[2 * index]!) / 1e6;
    return milliseconds > 0 && milliseconds < ABSURD_MS ? milliseconds : null;
  });
}

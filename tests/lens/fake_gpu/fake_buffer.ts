/** A GPU buffer that has a size and, unless it is small, no memory. */

/** Buffers up to this size keep what is written to them: params, and the indices from which work is counted. */
const KEPT_BYTES = 2 ** 20;

export class FakeBuffer {
  readonly label: string;
  readonly size: number;
  readonly usage: number;
  readonly #contents: Uint8Array<ArrayBuffer> | null;
  readonly #onDestroy: () => void;
  #isDestroyed = false;
  #isMapped = false;

  /** @param onDestroy frees the memory that the device counts, once */
  constructor({ label = "", size, usage }: GPUBufferDescriptor, onDestroy: () => void) {
    this.label = label;
    this.size = size;
    this.usage = usage;
    this.#contents = size <= KEPT_BYTES ? new Uint8Array(size) : null;
    this.#onDestroy = onDestroy;
  }

  get isDestroyed(): boolean {
    return this.#isDestroyed;
  }

  get keepsContents(): boolean {
    return this.#contents !== null;
  }

  /** Keeps the bytes if the buffer is small. */
  write(offset: number, bytes: Uint8Array): void {
    this.#contents?.set(bytes, offset);
  }

  /**
   * The bytes of a range as whole words.
   * @throws RangeError for a buffer that keeps none
   */
  words(offset: number, byteLength: number): Uint32Array {
    if (this.#contents === null) {
      throw new RangeError(`reading "${this.label}": a fake buffer of ${this.size} bytes keeps no contents`);
    }
    return new Uint32Array(this.#contents.buffer, offset, Math.floor(byteLength / 4));
  }

  get isMapped(): boolean {
    return this.#isMapped;
  }

  mapAsync(): Promise<undefined> {
    if (this.#isMapped || this.#isDestroyed || (this.usage & GPUBufferUsage.MAP_READ) === 0) {
      return Promise.reject(new Error(`"${this.label}" cannot be mapped`));
    }
    this.#isMapped = true;
    return Promise.resolve(undefined);
  }

  getMappedRange(offset = 0, size = this.size - offset): ArrayBuffer {
    if (!this.#isMapped) throw new Error(`"${this.label}" is not mapped`);
    return this.#contents?.buffer.slice(offset, offset + size) ?? new ArrayBuffer(size);
  }

  unmap(): void {
    this.#isMapped = false;
  }

  destroy(): void {
    this.#isMapped = false;
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#onDestroy();
  }
}

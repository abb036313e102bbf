/**
 * Copies large tensors back to main memory, piece by piece, through two buffers that stay: a driver takes longer to make a buffer
 * that both sides can see than to copy into it. The next piece comes while the last one is copied out of the other buffer, so that
 * nobody waits while Deno sleeps for 10 ms after each wait.
 */
import { bytesOf, inPieces, type ReadbackParts, type Reading, startReading } from "./readback.ts";
import type { GpuTensor } from "./tensor.ts";

/** Of each of the two buffers, in which timestamps need a little more. */
const PIECE_BYTES = 64 * 2 ** 20;
/**
 * Deno copies each mapped range into new memory. In ranges of a megabyte the allocator gives memory that it had before; larger ones
 * come from the system, which clears them first: three quarters of the time of a readback.
 */
const RANGE_BYTES = 2 ** 20;

/** Is told how far a reading is. */
export interface ReadProgress {
  /** Bytes at the target's beginning that are not written: they were read before, and may have other contents by now. */
  readonly bytesThere: number;
  /** The target's first `byteLength` bytes are there. */
  reach(byteLength: number): void;
}

const NOBODY: ReadProgress = { bytesThere: 0, reach: () => {} };

export class StagedReads {
  readonly #device: GPUDevice;
  readonly #pieceBytes: number;
  #buffers: GPUBuffer[] = [];

  /** @param pieceBytes a multiple of 256 */
  constructor(device: GPUDevice, pieceBytes = PIECE_BYTES) {
    this.#device = device;
    this.#pieceBytes = pieceBytes;
  }

  /** Copies tensors, which follow each other in `target`. */
  async read(
    parts: ReadbackParts,
    tensors: readonly GpuTensor[],
    target: Uint8Array,
    progress: ReadProgress = NOBODY,
  ): Promise<void> {
    const pieces = [...inPieces(tensors, this.#pieceBytes)];
    try {
      let coming = pieces.length === 0 ? null : await this.#start(parts, pieces, 0);
      for (let index = 0, at = 0; coming !== null; index++) {
        const { buffer, reading, byteLength } = coming;
        await reading.ready();
        coming = index + 1 < pieces.length ? await this.#start(parts, pieces, index + 1) : null;
        for (let from = 0; from < byteLength; from += RANGE_BYTES) {
          const range = reading.range(from, Math.min(RANGE_BYTES, byteLength - from));
          const end = at + from + range.length;
          if (end <= progress.bytesThere) continue;
          const known = Math.max(0, progress.bytesThere - (at + from));
          target.set(range.subarray(known), at + from + known);
          progress.reach(end);
        }
        at += byteLength;
        buffer.unmap();
      }
    } catch (thrown) {
      // What state they are in is not certain.
      this.close();
      throw thrown;
    }
  }

  /** Frees the buffers. */
  close(): void {
    for (const buffer of this.#buffers) buffer.destroy();
    this.#buffers = [];
  }

  async #start(
    parts: ReadbackParts,
    pieces: readonly GpuTensor[][],
    index: number,
  ): Promise<{ readonly buffer: GPUBuffer; readonly reading: Reading; readonly byteLength: number }> {
    const piece = pieces[index]!;
    const buffer = this.#bufferOf(index % 2, bytesOf(pieces[0]!) + parts.submits.mostMeasuredBytes);
    return { buffer, reading: await startReading(parts, piece, buffer), byteLength: bytesOf(piece) };
  }

  /** The first piece is the largest. */
  #bufferOf(which: number, size: number): GPUBuffer {
    const kept = this.#buffers[which];
    if (kept !== undefined && kept.size >= size) return kept;
    kept?.destroy();
    const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
    return this.#buffers[which] = this.#device.createBuffer({ label: "staging", size, usage });
  }
}

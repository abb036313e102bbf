/**
 * Embedding table and output layer, from a checkpoint to the GPU as they are stored, piece by piece: main memory holds two pieces of
 * a table of gigabytes.
 */
import type { Checkpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { slabsOf, tableBytes, tableFormatOf } from "../../shared/memory/table_sizes.ts";
import { toFloat32 } from "../../shared/model/safetensors_dtype.ts";
import type { Gpu } from "../device/gpu.ts";
import { type GpuTensor, sliceTensor } from "../device/tensor.ts";
import type { TableSlab } from "../kernels/elementwise/rows.ts";

/** Bytes that are written at once: a multiple of the 256 at which a part of a tensor begins. */
const WRITE_BYTES = 16 * 2 ** 20;

/**
 * Slabs of a table [rows, columns], in bf16 or f16 if it is stored so, else in f32.
 * @param slabRows of one slab, at most
 * @throws LoraFleetError as `readPieces`
 */
export async function loadTable(
  gpu: Gpu,
  checkpoint: Pick<Checkpoint, "dtypeOf" | "readPieces">,
  name: string,
  [rows, columns]: readonly [rows: number, columns: number],
  slabRows: number,
): Promise<TableSlab[]> {
  const dtype = checkpoint.dtypeOf(name);
  const format = tableFormatOf(dtype);
  const slabs = slabsOf(rows, slabRows).map((slab) => {
    const byteLength = tableBytes(format, slab.rowCount * columns);
    return { ...slab, format, byteLength, tensor: gpu.allocate(`${name}[${slab.firstRow}…]`, byteLength) };
  });
  const writer = new SlabWriter(gpu, slabs);
  for await (const piece of checkpoint.readPieces(name, [rows, columns])) {
    writer.add(format === "f32" ? bytesOf(toFloat32(dtype, piece)!) : piece);
  }
  return slabs.map(({ tensor, firstRow, rowCount }) => ({ tensor, firstRow, rowCount, format }));
}

/** Writes bytes one slab after the other. A slab may end in the middle of a word. */
class SlabWriter {
  readonly #gpu: Gpu;
  readonly #room: Uint8Array<ArrayBuffer>;
  readonly #slabs: Iterator<{ readonly tensor: GpuTensor; readonly byteLength: number }>;
  #slab: { readonly tensor: GpuTensor; readonly byteLength: number } | undefined;
  /** Bytes of the slab before `#room`, and in it. */
  #written = 0;
  #held = 0;

  constructor(gpu: Gpu, slabs: readonly { readonly tensor: GpuTensor; readonly byteLength: number }[]) {
    this.#gpu = gpu;
    this.#room = new Uint8Array(
      Math.min(WRITE_BYTES, Math.max(...slabs.map(({ byteLength }) => byteLength))),
    );
    this.#slabs = slabs[Symbol.iterator]();
    this.#slab = this.#slabs.next().value;
  }

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const { tensor, byteLength } = this.#slab!;
      const count = Math.min(
        bytes.length - at,
        this.#room.length - this.#held,
        byteLength - this.#written - this.#held,
      );
      this.#room.set(bytes.subarray(at, at + count), this.#held);
      at += count;
      this.#held += count;
      const isSlabFull = this.#written + this.#held === byteLength;
      if (!isSlabFull && this.#held < this.#room.length) continue;
      const part = sliceTensor(tensor, tensor.label, this.#written, this.#held);
      this.#gpu.write(part, this.#room.subarray(0, this.#held));
      this.#written += this.#held;
      this.#held = 0;
      if (!isSlabFull) continue;
      this.#slab = this.#slabs.next().value;
      this.#written = 0;
    }
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

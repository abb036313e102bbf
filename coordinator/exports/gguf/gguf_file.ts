/** A GGUF file that is planned before it is written: its header, then tensors encoded piece by piece. */
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import {
  encodeGgufHeader,
  type GgufMetadata,
  ggufSize,
  type GgufTensorInfo,
  paddingAfter,
} from "../../../shared/gguf/format.ts";
import { type GgufType, TENSOR_TYPES, tensorBytes } from "../../../shared/gguf/tensor_types.ts";

export interface GgufTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: GgufType;
  /** All values in f32, whole rows at a time. */
  readonly pieces: () => AsyncIterable<Float32Array> | Iterable<Float32Array>;
}

export interface GgufFile {
  readonly metadata: GgufMetadata;
  /** In the file's order. */
  readonly tensors: readonly GgufTensor[];
  readonly totalBytes: number;
  bytes(): AsyncGenerator<Uint8Array>;
}

export function planGguf(metadata: GgufMetadata, tensors: readonly GgufTensor[]): GgufFile {
  const infos = tensors.map(({ name, shape, type }): GgufTensorInfo => ({
    ...{ name, shape, typeId: TENSOR_TYPES[type].id },
    bytes: tensorBytes(type, shape.reduce((product, size) => product * size, 1)),
  }));
  const header = encodeGgufHeader(metadata, infos);
  return {
    ...{ metadata, tensors },
    totalBytes: ggufSize(header, infos),
    async *bytes() {
      yield header;
      for (const [index, tensor] of tensors.entries()) {
        yield* encodeTensor(tensor);
        yield new Uint8Array(paddingAfter(infos[index]!.bytes));
      }
    },
  };
}

async function* encodeTensor({ name, type, pieces }: GgufTensor): AsyncGenerator<Uint8Array> {
  const { max, encode } = TENSOR_TYPES[type];
  for await (const piece of pieces()) {
    const bad = piece.find((value) => !(Math.abs(value) <= max));
    if (bad !== undefined) {
      const message =
        `Writing GGUF failed: tensor ${quote(name)} has the value ${bad}, and the largest of ${type} is ` +
        `${max}; use "F32"`;
      throw new LoraFleetError("invalid_request", message, { param: "quantization" });
    }
    yield encode(piece);
  }
}

/** The wanted type, unless it does not take the tensor: vectors stay in f32, and Q8_0 needs rows of whole blocks. */
export function typeFor(shape: readonly number[], wanted: GgufType): GgufType {
  if (shape.length === 1) return "F32";
  return shape.at(-1)! % TENSOR_TYPES[wanted].blockSize === 0 ? wanted : "F16";
}

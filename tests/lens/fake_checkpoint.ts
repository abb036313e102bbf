/** A checkpoint whose tensors have shapes but no values: all are views of one zeroed buffer that nobody touches. */
import { bytesOf } from "../../shared/model/safetensors_dtype.ts";
import { modelTensors } from "../../shared/model/model_tensors.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { Nf4Weights } from "../../shared/checkpoint/nf4/nf4.ts";
import type { LoadableCheckpoint } from "../../worker/model/weights.ts";

const DTYPES = { bfloat16: "BF16", float16: "F16", float32: "F32" } as const;
const PIECE_BYTES = 16 * 2 ** 20;

/** Untouched pages of a zeroed buffer take no memory, so that a 70B's tables cost nothing. */
export function fakeCheckpoint(spec: TransformerSpec): LoadableCheckpoint {
  const largest = modelTensors(spec).reduce((most, { shape }) => Math.max(most, elementsOf(shape)), 0);
  const zeros = new ArrayBuffer(4 * largest);
  return {
    spec,
    storedDoubleQuantization: null,
    dtypeOf: () => DTYPES[spec.torchDtype ?? "float32"],
    async *readPieces(_name, shape) {
      const bytes = bytesOf(DTYPES[spec.torchDtype ?? "float32"], elementsOf(shape));
      for (let at = 0; at < bytes; at += PIECE_BYTES) {
        yield await Promise.resolve(new Uint8Array(zeros, 0, Math.min(PIECE_BYTES, bytes - at)));
      }
    },
    readTensor: (_name, shape) => Promise.resolve(new Float32Array(zeros, 0, elementsOf(shape))),
    readLinear: (_name, rows, columns, options) =>
      Promise.resolve(fakeNf4(zeros, rows, columns, options.doubleQuantization)),
  };
}

const elementsOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

function fakeNf4(zeros: ArrayBuffer, rows: number, columns: number, doubleQuantized: boolean): Nf4Weights {
  const blocks = Math.ceil(rows * columns / 64);
  const shape = { rows, columns, codes: new Uint8Array(zeros, 0, Math.ceil(rows * columns / 2)) };
  const nested = doubleQuantized
    ? {
      absmax: null,
      absmaxCodes: new Uint8Array(zeros, 0, blocks),
      nestedAbsmax: new Float32Array(zeros, 0, Math.ceil(blocks / 256)),
    }
    : { absmax: new Float32Array(zeros, 0, blocks), absmaxCodes: null, nestedAbsmax: null };
  return { ...shape, ...nested, nestedOffset: 0 };
}

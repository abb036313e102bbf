/** A checkpoint of random weights that are made as they are read: nothing is quantised, nothing lies on a disk. */
import { modelTensors } from "../../../shared/model/model_tensors.ts";
import type { TransformerSpec } from "../../../shared/model/transformer_spec.ts";
import type { Nf4Weights } from "../../../shared/checkpoint/nf4/nf4.ts";
import { pcg32 } from "../../../shared/prng.ts";
import type { LoadableCheckpoint } from "../../../worker/model/weights.ts";
import { fakeCheckpoint } from "../../lens/fake_checkpoint.ts";

/** Weights as a trained model has them: NF4's codes spread over −1 … 1, times this. */
const ABSMAX = 0.03;
/** Standard deviation of tables. */
const SCALE = 0.02;
const PATTERN = 2 ** 20;

export function randomCheckpoint(spec: TransformerSpec, seed = 1): LoadableCheckpoint {
  const random = pcg32(seed);
  const bytes = Uint8Array.from({ length: PATTERN }, () => random.below(256));
  const values = Float32Array.from(bytes, (byte) => SCALE * (byte - 127.5) / 74);
  const piece = pieceOf(spec.torchDtype ?? "float32", values);
  const names = new Set(modelTensors(spec).map(({ name }) => name));
  return {
    ...fakeCheckpoint(spec),
    // Not zeros, of which all products are zeros, too: a GPU draws less power for them and runs faster.
    async *readPieces(_name, shape) {
      const bytes = shape.reduce((product, size) => product * size, piece.BYTES_PER_ELEMENT);
      const all = new Uint8Array(piece.buffer);
      for (let at = 0; at < bytes; at += all.length) {
        yield await Promise.resolve(all.subarray(0, Math.min(all.length, bytes - at)));
      }
    },
    readTensor(name, shape) {
      if (!names.has(name)) throw new RangeError(`the model has no tensor "${name}"`);
      const length = shape.reduce((product, size) => product * size, 1);
      // Norms are near 1, biases near 0.
      if (shape.length === 1) {
        return Promise.resolve(new Float32Array(length).fill(/bias$/.test(name) ? 0 : 1));
      }
      return Promise.resolve(repeated(values, new Float32Array(length)));
    },
    readLinear: (_name, rows, columns, { doubleQuantization }) =>
      Promise.resolve(nf4Of(bytes, rows, columns, doubleQuantization)),
  };
}

/** The numbers as a table of the given type has them. */
function pieceOf(dtype: "bfloat16" | "float16" | "float32", values: Float32Array<ArrayBuffer>) {
  if (dtype === "float32") return values;
  if (dtype === "float16") return new Float16Array(values);
  return Uint16Array.from(new Uint32Array(values.buffer), (word) => word >>> 16);
}

function nf4Of(bytes: Uint8Array, rows: number, columns: number, doubleQuantization: boolean): Nf4Weights {
  const blocks = Math.ceil(rows * columns / 64);
  const codes = repeated(bytes, new Uint8Array(Math.ceil(rows * columns / 2)));
  if (!doubleQuantization) {
    const absmax = new Float32Array(blocks).fill(ABSMAX);
    return { rows, columns, codes, absmax, absmaxCodes: null, nestedAbsmax: null, nestedOffset: 0 };
  }
  const absmaxCodes = repeated(bytes, new Uint8Array(blocks));
  const nestedAbsmax = new Float32Array(Math.ceil(blocks / 256)).fill(ABSMAX / 10);
  return { rows, columns, codes, absmax: null, absmaxCodes, nestedAbsmax, nestedOffset: ABSMAX };
}

function repeated<T extends Uint8Array | Float32Array>(pattern: T, into: T): T {
  for (let at = 0; at < into.length; at += pattern.length) {
    into.set(pattern.subarray(0, Math.min(pattern.length, into.length - at)) as never, at);
  }
  return into;
}

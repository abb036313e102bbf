/** The base that PiSSA trains on: what the start leaves of each weight, W − s·B₀·A₀, in NF4. */
import { assertUnquantised } from "../../job/pissa.ts";
import type { Checkpoint } from "../checkpoint_reader.ts";
import type { LoraDelta } from "./adapter_deltas.ts";
import { quantizeNf4 } from "../nf4/nf4_quantise.ts";

/**
 * Subtracts scale · B · A from a weight [out, in], in place. Sums are taken in f64 in the order of the rank and rounded to f32
 * once, so that every machine gets the same bits. PEFT rounds to the base's own type after that; here the residual goes from
 * f32 into NF4.
 */
export function subtractStart(values: Float32Array, { rank, scale, a, b, inFeatures }: LoraDelta): void {
  const sums = new Float64Array(inFeatures);
  for (let row = 0, start = 0; start < values.length; row++, start += inFeatures) {
    sums.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = b[row * rank + k]!;
      const from = k * inFeatures;
      for (let j = 0; j < inFeatures; j++) sums[j] = sums[j]! + factor * a[from + j]!;
    }
    for (let j = 0; j < inFeatures; j++) values[start + j] = values[start + j]! - scale * sums[j]!;
  }
}

/**
 * A base model whose quantised layers are residuals; layers without a start, and all other tensors, are its own.
 * @param startOf of the layer of this name, once it is read
 */
export function residualCheckpoint(
  checkpoint: Checkpoint,
  startOf: (name: string) => Promise<LoraDelta | undefined> | LoraDelta | undefined,
): Checkpoint {
  assertUnquantised(checkpoint.storedDoubleQuantization);
  return {
    ...checkpoint,
    linearPlace: () => null, // a residual is nowhere on disk
    async readLinear(name, rows, columns, { doubleQuantization }) {
      const start = await startOf(name);
      if (start === undefined) {
        return await checkpoint.readLinear(name, rows, columns, { doubleQuantization });
      }
      const values = await checkpoint.readTensor(`${name}.weight`, [rows, columns]);
      subtractStart(values, start);
      return quantizeNf4(values, { rows, columns, doubleQuantization });
    },
  };
}

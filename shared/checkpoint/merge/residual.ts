/**
 * The base that PiSSA trains on: what the start leaves of each weight, W − s·B₀·A₀, in NF4. PEFT rounds it to the base's own type
 * before; here it goes from f32 into NF4.
 */
import { assertUnquantised } from "../../job/pissa.ts";
import type { Checkpoint } from "../checkpoint_reader.ts";
import type { LowRank } from "../low_rank.ts";
import { quantizeStored } from "../stored_linear.ts";

/**
 * A base model whose quantised layers are residuals; layers without a start, and all other tensors, are its own.
 * @param startOf of the layer of this name, once it is read
 */
export function residualCheckpoint(
  checkpoint: Checkpoint,
  startOf: (name: string) => Promise<LowRank | undefined> | LowRank | undefined,
): Checkpoint {
  assertUnquantised(checkpoint.storedDoubleQuantization);
  return {
    ...checkpoint,
    linearStart: startOf,
    async readLinear(name, rows, columns, { doubleQuantization }) {
      const start = await startOf(name);
      const options = { rows, columns, doubleQuantization };
      return quantizeStored(checkpoint.linearPlace(name, rows, columns)!, options, start);
    },
  };
}

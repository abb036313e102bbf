/** The loss over a chunk of the vocabulary, whose logits [rows, columns] lie in memory. */
import { type CostOf, valueOf, WORD } from "./kernel_cost.ts";

const KIND = "cross entropy";

/** One workgroup a row walks over its logits twice, thrice with smoothed labels; later walks find them in a cache. */
const stats: CostOf = ({ params, constants, groups: [rows] }) => {
  const columns = valueOf(params, "columns");
  const isFirst = params["firstColumn"] === 0;
  const held = 3 * WORD * rows;
  return {
    kind: KIND,
    flops: (constants["SMOOTHED"] ? 5 : 4) * rows * columns,
    reads: { logits: WORD * rows * columns, labels: WORD * rows, ...isFirst ? {} : { stats: held } },
    writes: { stats: held },
  };
};

const loss: CostOf = ({ params, constants }) => {
  const rows = valueOf(params, "rows");
  const weights = constants["WEIGHTED"] ? { weights: WORD * rows } : {};
  return {
    kind: KIND,
    flops: 5 * rows,
    reads: { stats: 3 * WORD * rows, ...weights },
    writes: { loss: 2 * WORD },
  };
};

const backward: CostOf = ({ params, constants }) => {
  const count = valueOf(params, "count");
  const rows = count / valueOf(params, "columns");
  const weights = constants["WEIGHTED"] ? { weights: WORD * rows } : {};
  return {
    kind: KIND,
    flops: 4 * count,
    reads: { logits: WORD * count, labels: WORD * rows, stats: 3 * WORD * rows, ...weights },
    writes: { logits: WORD * count },
  };
};

const argmax: CostOf = ({ params, groups: [rows] }) => {
  const columns = valueOf(params, "columns");
  const best = WORD * rows;
  return {
    kind: KIND,
    flops: rows * columns,
    reads: { logits: WORD * rows * columns, bestLogit: best, bestColumn: best },
    writes: { bestLogit: best, bestColumn: best },
  };
};

export const VOCABULARY_COSTS: Readonly<Record<string, CostOf>> = {
  cross_entropy_stats: stats,
  cross_entropy_loss: loss,
  cross_entropy_backward: backward,
  argmax,
};

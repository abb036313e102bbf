import {
  encodeCrossEntropyBackward,
  encodeCrossEntropyLoss,
  encodeCrossEntropyStats,
} from "./cross_entropy.ts";
import { crossEntropyCpu } from "./cross_entropy_cpu.ts";
import { encodeSoftCap } from "./soft_cap.ts";
import { checkGradient } from "../testing/check_gradient.ts";
import { checkKernel } from "../testing/kernel_contract.ts";
import { f32Tolerance } from "../testing/tolerance.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";

/** Columns [first, first + width) of a matrix with `columns` columns. */
function columnsOf(matrix: ArrayLike<number>, columns: number, first: number, width: number): Float32Array {
  const rows = matrix.length / columns;
  return Float32Array.from(
    { length: rows * width },
    (_, i) => matrix[Math.floor(i / width) * columns + first + i % width]!,
  );
}

const CASES: [
  rows: number,
  columns: number,
  split: number,
  softCap: number | null,
  smoothing?: number,
  weighted?: true,
][] = [
  [1, 1, 1, null],
  [3, 131, 64, null],
  [5, 259, 259, null],
  [300, 70, 33, null],
  [3, 131, 64, 6],
  [40, 70, 70, 30],
  [3, 131, 64, null, 0.1],
  [300, 70, 70, null, 0.25],
  [5, 259, 100, 6, 0.1],
  [300, 70, 33, null, 0, true],
  [5, 131, 131, 6, 0.1, true],
];
for (const [rows, columns, split, softCap, share = 0, weighted = false] of CASES) {
  const name =
    `cross entropy ${rows}×${columns} in chunks of ${split}, soft cap ${softCap}, smoothing ${share}${
      weighted ? ", weighted" : ""
    }`;
  Deno.test(`${name}: agrees with its reference`, async () => {
    const prng = testPrng(`cross entropy ${rows} ${columns}`);
    const logits = randomNormal(prng, rows * columns, 5);
    logits[0] = 120; // exp(120) is beyond f32
    const labels = Uint32Array.from({ length: rows }, () => prng.below(columns));
    const rowWeights = weighted ? Float32Array.from({ length: rows }, () => 0.25 + 2 * prng.uniform()) : null;
    const { loss, hits, gradient } = crossEntropyCpu(logits, labels, columns, softCap, share, rowWeights);
    const rest = columns - split;
    const low = columnsOf(logits, columns, 0, split);
    const high = rest > 0 ? columnsOf(logits, columns, split, rest) : new Float32Array(1);
    await checkKernel({
      label: name,
      inputs: { labels, stats: new Float32Array(rows * 3), weights: rowWeights ?? new Float32Array(1) },
      initial: { low, high },
      expected: {
        loss: [loss, hits],
        low: columnsOf(gradient, columns, 0, split),
        high: rest > 0 ? columnsOf(gradient, columns, split, rest) : [0],
      },
      encode: (pass, t) => {
        const smoothing = share === 0 ? null : { share, vocabulary: columns };
        const chunk = {
          labels: t.labels,
          stats: t.stats,
          rows,
          smoothing,
          weights: weighted ? t.weights : null,
        };
        const chunks = [{ ...chunk, logits: t.low, columns: split, firstColumn: 0 }];
        if (rest > 0) chunks.push({ ...chunk, logits: t.high, columns: rest, firstColumn: split });
        for (const part of chunks) {
          const count = rows * part.columns;
          if (softCap !== null) encodeSoftCap(pass, { logits: part.logits, count, cap: softCap });
          encodeCrossEntropyStats(pass, part);
        }
        encodeCrossEntropyLoss(pass, {
          stats: t.stats,
          loss: t.loss,
          rows,
          weights: weighted ? t.weights : null,
        });
        for (const part of chunks) encodeCrossEntropyBackward(pass, { ...part, softCap });
      },
      tolerance: {
        loss: f32Tolerance(columns, 10) + f32Tolerance(rows, Math.max(1, loss)),
        low: f32Tolerance(columns, 4),
        high: f32Tolerance(columns, 4),
      },
    });
  });
}

for (const [softCap, smoothing] of [[null, 0], [1.5, 0], [null, 0.1], [1.5, 0.3]] as const) {
  Deno.test(`cross entropy's gradient is the derivative of its loss, soft cap ${softCap}, smoothing ${smoothing}`, () => {
    const prng = testPrng("cross entropy finite differences");
    const logits = Float64Array.from(randomNormal(prng, 12));
    const labels = [3, 0];
    checkGradient(
      "logits",
      (at) => crossEntropyCpu(at, labels, 6, softCap, smoothing).loss,
      logits,
      crossEntropyCpu(logits, labels, 6, softCap, smoothing).gradient,
    );
  });
}

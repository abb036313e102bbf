import { encodeArgmax } from "./argmax.ts";
import { argmaxCpu } from "./argmax_cpu.ts";
import { checkKernel } from "../testing/kernel_contract.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";

const CASES: [rows: number, columns: number, split: number][] = [
  [1, 1, 1],
  [3, 63, 63],
  [2, 131, 64],
  [5, 70, 1],
  [300, 899, 500],
];

for (const [rows, columns, split] of CASES) {
  Deno.test(`argmax ${rows}×${columns} in chunks of ${split}: the first of the largest`, async () => {
    const prng = testPrng(`argmax ${rows} ${columns}`);
    const logits = randomNormal(prng, rows * columns);
    // Equal largest values: side by side, in different lanes, and in different chunks; and a row below all others.
    for (let row = 0; row < rows; row++) {
      logits[row * columns + prng.below(columns)] = 9;
      logits[row * columns + prng.below(columns)] = 9;
    }
    if (rows > 1) logits.fill(-1e38, columns, 2 * columns);
    const chunkOf = (first: number, width: number) =>
      Float32Array.from(
        { length: rows * width },
        (_, i) => logits[Math.floor(i / width) * columns + first + i % width]!,
      );
    const rest = columns - split;
    const best = argmaxCpu(logits, columns);
    await checkKernel<"low" | "high", "bestLogit" | "bestColumn">({
      label: `argmax ${rows}×${columns}`,
      inputs: { low: chunkOf(0, split), high: rest > 0 ? chunkOf(split, rest) : new Float32Array(1) },
      expected: { bestLogit: best.map((column, row) => logits[row * columns + column]!), bestColumn: best },
      encode: (pass, { low, high, bestLogit, bestColumn }) => {
        encodeArgmax(pass, { logits: low, bestLogit, bestColumn, rows, columns: split, firstColumn: 0 });
        if (rest === 0) return;
        encodeArgmax(pass, { logits: high, bestLogit, bestColumn, rows, columns: rest, firstColumn: split });
      },
      tolerance: 0,
      integerOutputs: ["bestColumn"],
    });
  });
}

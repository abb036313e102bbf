import type { Prng } from "../../shared/prng.ts";
import { checkKernel, f32Tolerance, randomNormal, testPrng } from "./kernel_contract.ts";
import { matmulCpu } from "./matmul_cpu.ts";
import { encodeNf4Matmul } from "./nf4_matmul.ts";
import { type Nf4Arrays, nf4DecodeCpu } from "./nf4_matmul_cpu.ts";

/** [m, rows, columns]: columns that are and are not multiples of 64 and 8, odd totals, several tiles. */
const SHAPES = [
  [1, 1, 1],
  [3, 5, 17],
  [17, 65, 64],
  [5, 130, 72],
  [70, 70, 130],
  [65, 257, 192],
  [130, 64, 257],
] as const;

/** A weight of random codes; more than 256 blocks where it is large enough, so that nested scales differ. */
function randomWeight(prng: Prng, rows: number, columns: number, doubleQuantized: boolean): Nf4Arrays {
  const blocks = Math.ceil(rows * columns / 64);
  const bytes = (count: number) => Uint8Array.from({ length: count }, () => prng.below(256));
  return {
    rows,
    columns,
    codes: bytes(Math.ceil(rows * columns / 2)),
    absmax: doubleQuantized ? bytes(blocks) : randomNormal(prng, blocks).map(Math.abs),
    doubleQuantized,
    nestedAbsmax: randomNormal(prng, Math.ceil(blocks / 256)).map(Math.abs),
    nestedOffset: Math.fround(0.7),
    dynamicMap: randomNormal(prng, 256).map(Math.tanh),
  };
}

for (const doubleQuantized of [false, true]) {
  for (const layout of ["nt", "nn"] as const) {
    for (const extras of [false, true]) {
      const label = `nf4_matmul ${layout}${doubleQuantized ? ", double quantisation" : ""}${
        extras ? ", with a bias, added to what is there" : ""
      }`;
      Deno.test(`${label} agrees with its reference`, async () => {
        const prng = testPrng(label);
        for (const [m, rows, columns] of SHAPES) {
          const [n, k] = layout === "nt" ? [rows, columns] : [columns, rows];
          const weight = randomWeight(prng, rows, columns, doubleQuantized);
          const [a, bias, before] = [m * k, n, m * n].map((count) => randomNormal(prng, count));
          const expected = matmulCpu({
            a: a!,
            b: nf4DecodeCpu(weight),
            m,
            n,
            k,
            layout,
            bias: extras ? bias : undefined,
            before: extras ? before : undefined,
          });
          await checkKernel({
            label: `${label} ${m}×${rows}×${columns}`,
            inputs: {
              a: a!,
              bias: bias!,
              codes: weight.codes,
              absmax: weight.absmax,
              nestedAbsmax: weight.nestedAbsmax,
              dynamicMap: weight.dynamicMap,
            },
            initial: extras ? { out: before! } : {},
            expected: { out: expected },
            encode: (pass, t) =>
              encodeNf4Matmul(pass, {
                a: t.a,
                weight: { ...weight, ...t },
                out: t.out,
                m,
                layout,
                accumulate: extras,
                ...(extras ? { bias: t.bias } : {}),
              }),
            // A decoded element, itself a product and a sum, carries three more roundings.
            tolerance: f32Tolerance(4 * k, Math.sqrt(k) + 4),
          });
        }
      });
    }
  }
}

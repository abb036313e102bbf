import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { openSafetensors } from "../../../shared/checkpoint/safetensors.ts";
import { subtractStart } from "../../../shared/checkpoint/low_rank.ts";
import { goldenPath } from "../../../tests/golden/golden.ts";
import type { Matrix } from "./products.ts";
import { factorsOf, startOf } from "./start.ts";
import { normalAt } from "../../../shared/memory/fresh_adapter.ts";
import { exactSvd, lowRankSvd, type Normals } from "./svd.ts";

const golden = openSafetensors(goldenPath("losses/pissa/layers.safetensors"));
const RANK = 3;
const KINDS = [["pissa", null, 5 / 3], ["pissa_niter_4", 4, 5 / 3], [
  "pissa_niter_0",
  0,
  5 / Math.sqrt(3),
]] as const;

function weightOf(name: string): Matrix {
  const [rows, columns] = golden.tensors.get(`${name}.weight`)!.shape as [number, number];
  return { rows, columns, values: golden.readFloat32(`${name}.weight`) };
}

const NORMALS: Normals = (vector, index) => normalAt(1, vector, index);

/** Torch's random vectors, as columns. */
function normalsOf(name: string) {
  const drawn = golden.readFloat32(`${name}.normals`);
  return (vector: number, index: number) => drawn[index * RANK + vector]!;
}

for (const name of ["tall", "wide", "square"]) {
  for (const [kind, iterations, scale] of KINDS) {
    Deno.test(`${name}, ${kind}: A and B are PEFT's up to their signs, and so is the residual`, () => {
      const weight = weightOf(name);
      const singular = iterations === null
        ? exactSvd(weight, RANK, NORMALS)
        : lowRankSvd(weight, RANK, iterations, normalsOf(name));
      const { a, b } = factorsOf(weight, singular, scale);
      const [expectedA, expectedB] = ["a", "b"].map((side) => golden.readFloat32(`${name}.${kind}.${side}`));
      for (let k = 0; k < RANK; k++) {
        const [rowOfA, theirs] = [a, expectedA!].map((all) =>
          all.subarray(k * weight.columns, (k + 1) * weight.columns)
        );
        const sign = Math.sign(rowOfA!.reduce((sum, value, j) => sum + value * theirs![j]!, 0));
        rowOfA!.forEach((value, j) => assertAlmostEquals(sign * value, theirs![j]!, 2e-6));
        for (let row = 0; row < weight.rows; row++) {
          assertAlmostEquals(sign * b[row * RANK + k]!, expectedB![row * RANK + k]!, 2e-6);
        }
      }
      const residual = weight.values.slice();
      const shape = { outFeatures: weight.rows, inFeatures: weight.columns };
      subtractStart(residual, { rank: RANK, scale, a, b, ...shape });
      const expected = golden.readFloat32(`${name}.${kind}.residual`);
      residual.forEach((value, i) => assertAlmostEquals(value, expected[i]!, 2e-6));
    });
  }
}

/** U · diag(values) · Vᵀ of what `exactSvd` finds, as one matrix. */
function rebuilt({ rows, columns }: Matrix, { values, left, right }: ReturnType<typeof exactSvd>) {
  return Float64Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    return values.reduce((sum, value, k) => sum + value * left[k]![row]! * right[k]![column]!, 0);
  });
}

Deno.test("with all singular values the exact decomposition is the weight again, also where values repeat or are 0", () => {
  const identity = Float32Array.from({ length: 36 }, (_, i) => i % 7 === 0 ? 1 : 0);
  const flat = Float32Array.from({ length: 40 }, () => 0.25);
  const none = new Float32Array(30);
  const cases: Matrix[] = [
    { rows: 6, columns: 6, values: identity },
    { rows: 8, columns: 5, values: flat },
    { rows: 5, columns: 6, values: none },
    { rows: 4, columns: 2, values: Float32Array.of(3, 0, 0, 3, 0, 0, 0, 0) },
    ...["tall", "wide", "square"].map(weightOf),
  ];
  for (const weight of cases) {
    const found = exactSvd(weight, Math.min(weight.rows, weight.columns), NORMALS);
    rebuilt(weight, found).forEach((value, i) => assertAlmostEquals(value, weight.values[i]!, 1e-12));
    assertEquals(found.values, [...found.values].sort((a, b) => b - a));
  }
});

Deno.test("a weight of zeros, or of a lower rank than the adapter's, has a finite start", () => {
  for (const iterations of [null, 2]) {
    for (const values of [new Float32Array(48), Float32Array.from({ length: 48 }, (_, i) => (i % 6) / 6)]) {
      const weight = { rows: 8, columns: 6, values };
      const { a, b } = startOf(weight, { rank: 4, scale: 2, iterations });
      assert([...a, ...b].every(Number.isFinite));
      const residual = values.slice();
      subtractStart(residual, { rank: 4, scale: 2, a, b, inFeatures: 6 });
      assert(residual.every((value) => Math.abs(value) < 1e-6));
    }
  }
});

Deno.test("the start has these bits on every machine", async () => {
  const hashOf = async (iterations: number | null) => {
    const { a, b } = startOf(weightOf("tall"), { rank: 4, scale: 1.5, iterations });
    const digest = await crypto.subtle.digest("SHA-256", Float32Array.of(...a, ...b));
    return new Uint8Array(digest).toHex().slice(0, 16);
  };
  assertEquals([await hashOf(null), await hashOf(4)], ["29d79c5e052e391d", "88a30c6c74a4d7ef"]);
});

import { assertAlmostEquals, assertEquals } from "@std/assert";
import { pissaCostText, pissaSeconds, pissaThreadBytes } from "./pissa_cost.ts";

const layer = { outFeatures: 4096, inFeatures: 11008, rank: 16 };

Deno.test("the cost of PiSSA's start grows with weights, rank and iterations; a 7B model takes minutes", () => {
  const seven = Array.from({ length: 144 }, () => layer); // 6.5e9 weights
  assertAlmostEquals(pissaSeconds(seven, 4) / pissaSeconds([layer], 4), 144);
  assertAlmostEquals(pissaSeconds([layer], 16) / pissaSeconds([layer], 4), (16 * 34 + 16) / (16 * 10 + 16));
  assertEquals([pissaSeconds(seven, 4), pissaSeconds(seven, null)].map((s) => Math.round(s / 60)), [24, 43]);
  assertEquals(
    pissaCostText(seven, 4),
    "PiSSA: before its first step each worker takes 144 weights apart, about 24 minutes of one processor divided by " +
      "those it has, with up to 391 MiB of main memory for each.",
  );
  assertEquals(
    pissaCostText([{ outFeatures: 64, inFeatures: 64, rank: 4 }], null).includes("less than a minute"),
    true,
  );
  assertEquals(pissaThreadBytes([layer, { ...layer, inFeatures: 64 }]), pissaThreadBytes([layer]));
});

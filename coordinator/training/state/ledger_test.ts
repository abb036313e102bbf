import { assertEquals } from "@std/assert";
import {
  claimMicroBatch,
  excludeMicroBatch,
  isComplete,
  type LedgerEntry,
  newLedger,
  ownersOf,
  releaseWorkers,
  totalsOf,
  uncounted,
  withoutReportsOf,
} from "./ledger.ts";

const entry = (worker: string, claim = 1, lossSum = 1): LedgerEntry => ({
  worker,
  claim,
  lossSum,
  labelCount: 2,
  correctCount: 1,
  maxAbs: new Float32Array([lossSum, 1]),
});

Deno.test("a micro-batch is counted once", () => {
  const first = claimMicroBatch(newLedger(2), 0, entry("a"));
  assertEquals([first.verdict, first.reason], ["counted", "micro-batch 0 is in the sums of a: 1 of 2"]);
  const second = claimMicroBatch(first.ledger, 0, entry("b"));
  assertEquals([second.verdict, second.reason], [
    "duplicate",
    "micro-batch 0 of b is already in the sums of a",
  ]);
  assertEquals(second.ledger, first.ledger);
});

Deno.test("a repeated report gets the same answer, repeated work does not", () => {
  const { ledger } = claimMicroBatch(newLedger(2), 1, entry("a", 7));
  const again = claimMicroBatch(ledger, 1, entry("a", 7));
  assertEquals([again.verdict, again.reason], ["counted", "a asks again about micro-batch 1"]);
  assertEquals(again.ledger.countedCount, 1);
  assertEquals(claimMicroBatch(ledger, 1, entry("a", 8)).verdict, "duplicate");
});

Deno.test("a position outside of the step is unknown", () => {
  const decision = claimMicroBatch(newLedger(2), 2, entry("a"));
  assertEquals([decision.verdict, decision.reason], ["unknown", "there is no micro-batch 2 among 2"]);
});

Deno.test("totals do not depend on the order of the reports", () => {
  // 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in f64.
  const losses = [0.1, 0.2, 0.3];
  const totals = [[0, 1, 2], [2, 1, 0]].map((order) => {
    let ledger = newLedger(3);
    for (const i of order) ledger = claimMicroBatch(ledger, i, entry("a", i, losses[i]!)).ledger;
    assertEquals(isComplete(ledger), true);
    return totalsOf(ledger);
  });
  assertEquals(totals[0], totals[1]!);
  assertEquals(totals[0]!.lossSum, 0.1 + 0.2 + 0.3);
  assertEquals([totals[0]!.labelCount, totals[0]!.maxAbs], [6, new Float32Array([0.3, 1])]);
});

Deno.test("owners are the positions of the workers", () => {
  let ledger = claimMicroBatch(newLedger(2), 1, entry("b")).ledger;
  assertEquals(isComplete(ledger), false);
  ledger = claimMicroBatch(ledger, 0, entry("c")).ledger;
  assertEquals(ownersOf(ledger, [{ worker: "a" }, { worker: "b" }, { worker: "c" }]), [2, 1]);
});

Deno.test("an exclusion settles a micro-batch, and ends only with the reports that it rests on", () => {
  const counted = claimMicroBatch(newLedger(2), 1, entry("b")).ledger;
  const ledger = excludeMicroBatch(counted, 0, ["a", "c"]);
  assertEquals([isComplete(ledger), uncounted(ledger)], [true, []]);
  assertEquals(ownersOf(ledger, [{ worker: "b" }]), [null, 0]);
  assertEquals([totalsOf(ledger).labelCount, totalsOf(ledger).lossSum], [2, 1]);
  const late = claimMicroBatch(ledger, 0, entry("b", 2));
  assertEquals([late.verdict, late.reason], ["duplicate", "micro-batch 0 is excluded"]);
  assertEquals(uncounted(releaseWorkers(ledger, new Set(["b"]))), [1]);
  assertEquals(withoutReportsOf(ledger, new Set(["b"])), ledger);
  assertEquals(uncounted(withoutReportsOf(ledger, new Set(["c"]))), [0]);
});

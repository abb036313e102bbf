import { assertAlmostEquals, assertEquals } from "@std/assert";
import { driftOf, rowsForDrift } from "./drift.ts";

const row = (labels: number[], logits: number[]) => (
  { labels: Int32Array.from(labels), logits: Float32Array.from(logits) }
);

/** Kullback-Leibler of two models' next tokens. */
function kl(a: number[], b: number[]): number {
  const [p, q] = [a, b].map((logits) => {
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
    return logits.map((logit) => Math.exp(logit) / total);
  }) as [number[], number[]];
  return p.reduce((sum, share, i) => sum + share * Math.log(share / q[i]!), 0);
}

Deno.test("drift: logits, divergence, agreement and exact rows of two models", () => {
  const trained = [row([1, 0], [0, 1, 2, 0]), row([0], [1, 0])];
  const merged = [row([1, 0], [0, 1, 0, 1]), row([0], [1.5, 0])];
  const drift = driftOf(trained, merged);
  assertEquals([drift.rows, drift.tokens, drift.logit_max_abs], [2, 3, 2]);
  assertAlmostEquals(drift.logit_mean_abs, (2 + 1 + 0.5) / 6, 1e-7);
  assertAlmostEquals(drift.kl_mean, (kl([2, 0], [0, 1]) + kl([1, 0], [1.5, 0])) / 3, 1e-7);
  assertAlmostEquals(drift.top1_agreement, 2 / 3);
  assertEquals([drift.exact_match_trained, drift.exact_match_merged, drift.same_rows], [1, 0.5, 0.5]);
});

Deno.test("equal models do not drift", () => {
  const rows = [row([1], [0, 1])];
  const { logit_max_abs, kl_mean, top1_agreement } = driftOf(rows, rows);
  assertEquals([logit_max_abs, kl_mean, top1_agreement], [0, 0, 1]);
});

Deno.test("the rows whose logits fit in memory are compared, at least one", () => {
  const example = { tokens: new Uint32Array(1000), completionMask: new Uint8Array(1000), line: 1 };
  const examples = Array.from({ length: 10 }, () => example);
  assertEquals(rowsForDrift(examples, 50_000).length, 5);
  assertEquals(rowsForDrift(examples, 1_000_000).length, 1);
  assertEquals(rowsForDrift(examples, 10).length, 10);
});

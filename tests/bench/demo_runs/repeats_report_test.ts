import { assertAlmostEquals, assertEquals } from "@std/assert";
import { comparison, discardedSeconds, etaErrors, repeatedSteps, type TimedStep } from "./repeats_report.ts";

/** A step of ten seconds, two of them discarded by each attempt before the counted one. */
function stepOf(step: number, attempt: number, at: number, etaSeconds: number): TimedStep {
  const seconds = 10;
  const tokens = 100 * (seconds - 2 * (attempt - 1));
  return {
    metrics: {
      ...{ step, total_steps: 4, attempt, train_loss: 1 / step, grad_norm: 1, workers: 1 },
      ...{ tokens, tokens_per_second: 100, step_seconds: seconds, eta_seconds: etaSeconds },
      gradient_bytes_sent: 0,
    },
    at,
  };
}

const steps = [stepOf(1, 2, 110, 45), stepOf(2, 1, 120, 20), stepOf(3, 3, 130, 11), stepOf(4, 1, 140, 0)];

Deno.test("seconds that earlier attempts took are what the counted one's tokens do not explain", () => {
  assertEquals(steps.map(({ metrics }) => discardedSeconds(metrics)), [2, 0, 4, 0]);
  assertEquals(repeatedSteps(steps), [1, 3]);
});

Deno.test("the time left is judged by when the last step came", () => {
  const [quarter, half, late] = etaErrors(steps);
  assertAlmostEquals(quarter!, 0.5);
  assertAlmostEquals(half!, 0);
  assertAlmostEquals(late!, 0.1);
});

Deno.test("a comparison has a column for each side", () => {
  const side = { steps, status: "succeeded", adapterSha256: "0123456789abcdef", exactMatch: 0.975 };
  const text = comparison([
    { ...side, name: "before", heldOutLoss: 0.5 },
    { ...side, name: "now", heldOutLoss: null, steps: steps.slice(1) },
  ]);
  const cells = (start: string) =>
    text.split("\n").find((line) => line.startsWith(start))!.split(/ {2,}/).slice(-2);
  assertEquals(cells("steps with"), ["1, 3", "3"]);
  assertEquals(cells("  how many"), ["1 of 3", "1 of 2"]);
  assertEquals(cells("  of them discarded"), ["6.0 (15 %)", "4.0 (13 %)"]);
  assertEquals(cells("tokens/s of all"), ["85.0", "86.7"]);
  assertEquals(cells("held-out"), ["0.500000", "-"]);
  assertEquals(cells("SHA-256"), ["0123456789ab", "0123456789ab"]);
});

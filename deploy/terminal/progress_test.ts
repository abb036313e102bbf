import { assertEquals, assertStringIncludes } from "@std/assert";
import type { StepMetrics } from "../client/api_client.ts";
import { barProgress, formatDuration, formatStep, plainProgress } from "./progress.ts";

function metrics(step: number, total_steps: number): StepMetrics {
  return {
    step,
    total_steps,
    train_loss: 1.23456,
    grad_norm: 0.3,
    tokens_per_second: 812.4,
    workers: 2,
    eta_seconds: 61.2,
    gradient_bytes_sent: 0,
  };
}

Deno.test("durations are minutes and seconds, with hours if any", () => {
  assertEquals([0, 9.6, 61, 3599.6, 3661].map(formatDuration), [
    "0:00",
    "0:10",
    "1:01",
    "1:00:00",
    "1:01:01",
  ]);
  assertEquals(formatDuration(-1), "0:00");
});

Deno.test("a step is one line", () => {
  assertEquals(formatStep(metrics(3, 40)), "step 3/40  loss 1.2346  812 tokens/s  2 workers  ETA 1:01");
  assertEquals(formatStep({ ...metrics(3, 40), workers: 1 }).includes("1 worker  "), true);
});

Deno.test("plain progress is about twenty lines, the first and last step included", () => {
  const lines: string[] = [];
  const progress = plainProgress((line) => lines.push(line));
  for (let step = 1; step <= 1003; step++) progress.step(metrics(step, 1003));
  assertEquals(lines.length, 21);
  assertEquals(lines[0]!.startsWith("step 1/"), true);
  assertEquals(lines.at(-1)!.startsWith("step 1003/"), true);
});

Deno.test("the bar shows the coordinator's ETA, not its own estimate", () => {
  let shown = "";
  const terminal = { isTTY: true, columns: 200, write: (text: string) => void (shown += text) };
  const progress = barProgress(() => {}, terminal);
  progress.step(metrics(3, 40));
  progress.step({ ...metrics(4, 40), eta_seconds: 125 });
  progress.stop();
  assertStringIncludes(shown, "step 3/40  loss 1.2346  812 tokens/s  2 workers  ETA 1:01");
  assertStringIncludes(shown, "ETA 2:05");
});

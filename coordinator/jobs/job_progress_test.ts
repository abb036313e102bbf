import { assertEquals } from "@std/assert";
import type { StepReport } from "../fleet/fleet.ts";
import { addStep, startProgress } from "./job_progress.ts";

function report(step: number, changes: Partial<StepReport> = {}): StepReport {
  return {
    step,
    epoch: step / 10,
    loss: 1,
    learningRate: 1e-4,
    gradientNorm: 2,
    tokenCount: 100,
    labelCount: 40,
    tokenAccuracy: 0.25,
    workerCount: 2,
    attempt: 1,
    seconds: 2,
    attemptSeconds: 2,
    gradientBytesSent: 1000,
    ...{ excluded: [], audits: { passed: 0, failed: 0, skipped: 0 } },
    digest: "d",
    maxAbs: "",
    ...changes,
  };
}

Deno.test("each step is one event", () => {
  const { metrics, remainingMs } = addStep(startProgress(5), report(1));
  assertEquals(remainingMs, 8000);
  assertEquals(metrics, {
    step: 1,
    total_steps: 5,
    epoch: 0.1,
    train_loss: 1,
    train_mean_token_accuracy: 0.25,
    learning_rate: 1e-4,
    grad_norm: 2,
    tokens_per_second: 50,
    tokens: 100,
    target_tokens: 40,
    workers: 2,
    attempt: 1,
    step_seconds: 2,
    eta_seconds: 8,
    gradient_bytes_sent: 1000,
    digest: "d",
  });
});

Deno.test("gradient bytes add up; a step that took no time has no speed", () => {
  const first = addStep(startProgress(5), report(1));
  const { metrics, remainingMs } = addStep(first.progress, report(2, { seconds: 0, attemptSeconds: 0 }));
  assertEquals([metrics["gradient_bytes_sent"], metrics["tokens_per_second"]], [2000, 0]);
  assertEquals(remainingMs, 0);
});

Deno.test("the time left follows the newest twenty steps", () => {
  let decision = addStep(startProgress(100), report(1, { seconds: 1000 }));
  for (let step = 2; step <= 21; step++) {
    decision = addStep(decision.progress, report(step, { seconds: 1, attemptSeconds: 1 }));
  }
  assertEquals(decision.remainingMs, 79_000);
});

Deno.test("a discarded attempt counts neither in the speed nor in the time left", () => {
  let decision = addStep(startProgress(11), report(1, { seconds: 60, attemptSeconds: 5 }));
  assertEquals([decision.metrics["tokens_per_second"], decision.remainingMs], [20, 50_000]);
  decision = addStep(decision.progress, report(2, { seconds: 4, attemptSeconds: 2 }));
  assertEquals([decision.metrics["tokens_per_second"], decision.remainingMs], [50, 18_000]);
  decision = addStep(decision.progress, report(3));
  decision = addStep(decision.progress, report(4, { seconds: 9, attemptSeconds: 2 }));
  assertEquals([decision.metrics["tokens_per_second"], decision.remainingMs], [50, 14_000]);
});

Deno.test("if most steps are done twice, the rest will be: the time left counts all of each", () => {
  let decision = addStep(startProgress(14), report(1));
  for (const step of [2, 3, 4]) {
    decision = addStep(decision.progress, report(step, { seconds: 4, attemptSeconds: 2 }));
  }
  assertEquals(decision.remainingMs, 40_000);
});

Deno.test("with local steps, a step reports its data step", () => {
  const local = { innerSteps: 25, dataStep: 200, totalDataSteps: 450 };
  const { metrics } = addStep(startProgress(5), report(2, { local }));
  assertEquals([metrics["inner_steps"], metrics["data_step"], metrics["total_data_steps"]], [25, 200, 450]);
});

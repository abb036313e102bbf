import { assertAlmostEquals, assertEquals } from "@std/assert";
import { NO_AUDITS } from "../../../shared/protocol/messages_coordinator.ts";
import { createToyJob } from "../../../tests/sim/toy_job.ts";
import { trainingPlanOf } from "./run_plan.ts";
import { stepReportOf } from "./step_report.ts";

const job = createToyJob({ totalSteps: 4, microBatchesPerStep: 2, checkpointEvery: 1 });
const plan = trainingPlanOf({ job, startId: "s-1", checkKey: "k", layout: null }, () => 2);
const entry = {
  ...{ jobId: job.id, startId: "s-1", specHash: job.specHash, step: 2, attempt: 3, generation: 5 },
  ...{ digest: "d", members: ["w-a", "w-b"], labelCount: 7, loss: 0.5, gradientNorm: 2, maxAbs: "" },
  ...{ committedAt: 0, excluded: [], excludedTotal: 0, audits: NO_AUDITS },
};

Deno.test("a report combines the commit, the job's plan of the step, and the cost of the gradients", () => {
  const report = stepReportOf(job, plan, { type: "committed", entry, seconds: 9, attemptSeconds: 4 }, 123);
  const { step, attempt, loss, gradientNorm, labelCount, workerCount, seconds, attemptSeconds } = report;
  assertEquals([step, attempt, loss, gradientNorm, labelCount], [2, 3, 0.5, 2, 7]);
  assertEquals([workerCount, seconds, attemptSeconds, report.gradientBytesSent], [2, 9, 4, 123]);
  assertAlmostEquals(report.epoch, job.epochsAfter(2));
  assertEquals(report.local, undefined);
});

Deno.test("tokens of excluded micro-batches do not count", () => {
  const tokensOf = (excluded: { index: number; workers: string[] }[]) =>
    stepReportOf(
      job,
      plan,
      { type: "committed", entry: { ...entry, excluded }, seconds: 0, attemptSeconds: 0 },
      0,
    )
      .tokenCount;
  const [first, second] = job.microBatchesOf(2).map(({ tokens }) => tokens.length);
  assertEquals(tokensOf([]), first! + second!);
  assertEquals(tokensOf([{ index: 0, workers: ["w-a"] }]), second);
});

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { jobSpecSchema } from "../../../shared/job/job_spec_schema.ts";
import { isFinished, jobRecordSchema, jobStatusSchema, newJob } from "./job.ts";
import type { JobRecord } from "./job.ts";
import { decideJob } from "./job_transition.ts";
import type { JobTransition } from "./job_transition.ts";

const spec = jobSpecSchema.parse({ model: "org/llama", training_file: "file-1" });
const fresh = newJob({
  id: "ftjob-1",
  createdAt: 1000,
  spec,
  suffix: null,
  metadata: null,
  validationFile: null,
});
const error = { code: "invalid_dataset", message: "line 3 does not parse", param: "training_file" };

const sampleOf = (step: number, microBatch = 0) => ({
  ...{ step, microBatch, examples: [3, 8], reason: "its gradient is not finite", workers: ["w-a", "w-b"] },
});

function live(job: JobRecord, ...transitions: readonly JobTransition[]): JobRecord {
  return transitions.reduce(
    (state, transition, index) => decideJob(state, transition, 2000 + index).job,
    job,
  );
}

const toRunning = [{ type: "validated", totalSteps: 4 }, { type: "started" }] as const;

Deno.test("a job succeeds", () => {
  const job = live(
    fresh,
    ...toRunning,
    { type: "stepCommitted", step: 1, tokenCount: 10, remainingMs: 300 },
    { type: "stepCommitted", step: 2, tokenCount: 12, remainingMs: null },
  );
  assertEquals([job.status, job.startedAt, job.step, job.trainedTokens], ["running", 2001, 2, 22]);
  assertEquals(job.estimatedFinishAt, null);
  const done = decideJob(job, { type: "trained", resultFiles: ["file-9"] }, 3000);
  assertEquals(done.job.status, "succeeded");
  assertEquals(done.job.finishedAt, 3000);
  assertEquals(done.job.resultFiles, ["file-9"]);
  assertEquals(done.job.fineTunedModel, "ft:org/llama::ftjob-1");
  assertStringIncludes(done.reason, "2 steps, 22 tokens");
  assertEquals(jobRecordSchema.parse(JSON.parse(JSON.stringify(done.job))), done.job);
});

Deno.test("the estimated finish is the step's time plus the remaining time", () => {
  const { job } = decideJob(live(fresh, ...toRunning), {
    type: "stepCommitted",
    step: 1,
    tokenCount: 1,
    remainingMs: 250,
  }, 5000);
  assertEquals(job.estimatedFinishAt, 5250);
});

Deno.test("a failed job keeps its error; a cancelled one has none", () => {
  const failed = decideJob(fresh, { type: "failed", error }, 3000);
  assertEquals([failed.job.status, failed.job.error], ["failed", error]);
  assertStringIncludes(failed.reason, error.message);
  const cancelled = decideJob(live(fresh, ...toRunning), { type: "cancelled" }, 3000);
  assertEquals([cancelled.job.status, cancelled.job.error], ["cancelled", null]);
  assertStringIncludes(cancelled.reason, "while it was running");
});

Deno.test("after a restart a running job is queued again and continues where it was", () => {
  const job = live(fresh, ...toRunning, { type: "stepCommitted", step: 1, tokenCount: 10, remainingMs: 1 });
  const queued = decideJob(job, { type: "coordinatorRestarted" }, 9000).job;
  assertEquals(queued, { ...job, status: "queued", estimatedFinishAt: null });
  const again = decideJob(queued, { type: "started" }, 9500);
  assertEquals([again.job.step, again.job.startedAt], [1, job.startedAt]);
  assertStringIncludes(again.reason, "continues after step 1");
  const anew = decideJob(again.job, { type: "rolledBack", step: 0, trainedTokens: 0 }, 9500).job;
  assertEquals([anew.status, anew.step, anew.trainedTokens], ["running", 0, 0]);
});

Deno.test("a paused job keeps its progress and returns to the stage that it left", () => {
  const job = live(fresh, ...toRunning, { type: "stepCommitted", step: 2, tokenCount: 10, remainingMs: 1 });
  const paused = decideJob(job, { type: "paused" }, 9000);
  assertEquals(paused.job, { ...job, status: "paused", estimatedFinishAt: null });
  assertStringIncludes(paused.reason, "paused while it was running, after step 2");
  const resumed = decideJob(paused.job, { type: "resumed" }, 9500);
  assertEquals(resumed.job, { ...paused.job, status: "queued" });
  assertStringIncludes(resumed.reason, "resumed, after step 2; it is queued again");
  const early = live(fresh, { type: "paused" }, { type: "resumed" });
  assertEquals(early, fresh);
});

Deno.test("a transition from any other status is a conflict that names the job's status", () => {
  const transitions: readonly JobTransition[] = [
    { type: "validated", totalSteps: 1 },
    { type: "started" },
    { type: "rolledBack", step: 0, trainedTokens: 0 },
    { type: "stepCommitted", step: 1, tokenCount: 1, remainingMs: null },
    { type: "sampleQuarantined", sample: sampleOf(1) },
    { type: "trained", resultFiles: [] },
    { type: "failed", error },
    { type: "cancelled" },
    { type: "paused" },
    { type: "resumed" },
    { type: "coordinatorRestarted" },
  ];
  const allowed = new Set<string>();
  for (const status of jobStatusSchema.options) {
    for (const transition of transitions) {
      try {
        decideJob({ ...fresh, status }, transition, 1);
        allowed.add(`${status} ${transition.type}`);
      } catch (thrown) {
        if (!(thrown instanceof LoraFleetError)) throw thrown;
        assertEquals(thrown.code, "conflict");
        assertStringIncludes(thrown.message, `it is "${status}", not "`);
      }
    }
  }
  assertEquals([...allowed].sort(), [
    "paused cancelled",
    "paused resumed",
    "queued cancelled",
    "queued failed",
    "queued paused",
    "queued started",
    "running cancelled",
    "running coordinatorRestarted",
    "running failed",
    "running paused",
    "running rolledBack",
    "running sampleQuarantined",
    "running stepCommitted",
    "running trained",
    "validating_files cancelled",
    "validating_files failed",
    "validating_files paused",
    "validating_files validated",
  ]);
  assertEquals(jobStatusSchema.options.filter(isFinished), ["succeeded", "failed", "cancelled"]);
  assertThrows(() => decideJob({ ...fresh, status: "failed" }, { type: "cancelled" }, 1), LoraFleetError);
});

Deno.test("quarantined samples: recorded once, replaced by those of the commit, dropped by a rollback", () => {
  const running = live(fresh, ...toRunning);
  const early = decideJob(running, { type: "sampleQuarantined", sample: sampleOf(1, 4) }, 3000);
  assertStringIncludes(
    early.reason,
    "Micro-batch 4 of step 1 is excluded (lines 3, 8 of the training file): its gradient is not finite on w-a, w-b.",
  );
  assertEquals(early.job.quarantined, [sampleOf(1, 4)]);
  const again = decideJob(early.job, { type: "sampleQuarantined", sample: sampleOf(1, 4) }, 3000).job;
  assertEquals(again.quarantined, [sampleOf(1, 4)]);
  const commit = { type: "stepCommitted", tokenCount: 1, remainingMs: null } as const;
  // An abandoned attempt may have excluded a different one.
  const audits = { passed: 3, failed: 1, skipped: 0 };
  const first = decideJob(again, { ...commit, step: 1, quarantined: [sampleOf(1, 5)], audits }, 3000).job;
  assertEquals([first.quarantined, first.audits], [[sampleOf(1, 5)], audits]);
  const second = decideJob(first, { ...commit, step: 2, quarantined: [sampleOf(2)] }, 3000).job;
  assertEquals([second.quarantined, second.audits], [[sampleOf(1, 5), sampleOf(2)], audits]);
  const back = decideJob(second, { type: "rolledBack", step: 1, trainedTokens: 1 }, 3000).job;
  assertEquals([back.quarantined, back.audits], [[sampleOf(1, 5)], audits]);
  const anew = decideJob(back, { type: "rolledBack", step: 0, trainedTokens: 0 }, 3000).job;
  assertEquals([anew.quarantined, anew.audits], [[], { passed: 0, failed: 0, skipped: 0 }]);
});

Deno.test("an excluded inner loop is named as such, and the message lists only its first lines", () => {
  const running = live(fresh, ...toRunning);
  const withLocalSteps = jobSpecSchema.parse({ ...spec, fleet: { local_steps: {} } });
  const examples = Array.from({ length: 1000 }, (_, index) => index + 1);
  const sample = { ...sampleOf(1, 3), examples };
  const { job, reason } = decideJob(
    { ...running, spec: withLocalSteps },
    { type: "sampleQuarantined", sample },
    3000,
  );
  assertStringIncludes(reason, "Inner loop 3 of step 1 is excluded (lines 1, 2, 3");
  assertStringIncludes(reason, "19, 20 and 980 more of the training file)");
  assertEquals(job.quarantined, [sample]);
});

import { assertEquals, assertMatch } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { JOB } from "../testing/test_job.ts";
import { failJob, isWorthReloading, logStart, newHostedJob, workerJobOf } from "./hosted_job.ts";

const silent = () => {};
const { jobId, startId } = JOB;

Deno.test("a job is reported as loading until it fails, with the failure's code and parameter", () => {
  const job = newHostedJob(JOB, null);
  assertEquals(workerJobOf(job, true), { phase: "loading", jobId, startId });
  failJob(job, new LoraFleetError("corrupt", "bad file", { param: "config.json" }), silent);
  const failed = { phase: "failed" as const, jobId, startId, code: "corrupt" as const };
  assertEquals(workerJobOf(job, true), { ...failed, message: "bad file", param: "config.json" });
  job.phase = "over";
  assertEquals(workerJobOf(job, true), null);
});

Deno.test("a full disk comes with advice; an unknown error counts as a failure of the GPU", () => {
  const failure = failJob(newHostedJob(JOB, null), new LoraFleetError("storage", "full"), silent);
  assertMatch(failure.message, /^full; this worker tries again by itself/);
  assertEquals(failJob(newHostedJob(JOB, null), new Error("?"), silent).code, "gpu_failure");
});

Deno.test("the same start keeps its failures, a new one begins without", () => {
  const job = newHostedJob(JOB, null);
  assertEquals([1, 2, 3].map(() => isWorthReloading(job, new Error("?"), silent)), [true, true, false]);
  assertEquals(newHostedJob(JOB, job).failedSessions, 3);
  const lines: string[] = [];
  const restarted = { ...JOB, startId: "s-2" };
  assertEquals(newHostedJob(restarted, job).failedSessions, 0);
  logStart(restarted, job, (_, line) => void lines.push(line));
  assertMatch(lines.join(), /starts again,.*needs base model/);
});

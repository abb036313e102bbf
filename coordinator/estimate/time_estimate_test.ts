import { assertEquals, assertStringIncludes } from "@std/assert";
import { parseJobRequest } from "../job_request/parse.ts";
import { newJob } from "../jobs/record/job.ts";
import { openSqliteJobStore } from "../jobs/stores/sqlite_job_store.ts";
import { estimateTime, measuredSpeed } from "./time_estimate.ts";

Deno.test("an hour of two workers at 0.29 costs 0.58", () => {
  const speed = { tokensPerSecond: 100, workers: 2, source: "given" };
  assertEquals(estimateTime(360_000, speed, 0.29), {
    tokens_per_second: 100,
    source: "given",
    workers: 2,
    seconds: 3600,
    cost: 0.58,
  });
  assertEquals(estimateTime(360_000, speed, null).cost, null);
});

Deno.test("without a speed nothing is estimated, and the answer says what would give one", () => {
  const { seconds, cost, source } = estimateTime(1, null, 1);
  assertEquals([seconds, cost], [null, null]);
  assertStringIncludes(source, "tokens_per_second");
});

function storeWith(jobs: readonly { model: string; speeds: readonly number[] }[]) {
  const store = openSqliteJobStore(":memory:");
  jobs.forEach(({ model, speeds }, index) => {
    const id = `ftjob-${index}`;
    const { spec } = parseJobRequest({ model, training_file: "file-1" });
    const fields = { id, createdAt: index, spec, suffix: null, metadata: null, validationFile: null };
    const events = speeds.map((tokens_per_second, step) => (
      {
        jobId: id,
        createdAt: index,
        level: "info",
        type: "metrics",
        message: "",
        data: { step, tokens_per_second, workers: 3 },
      } as const
    ));
    store.putJob(newJob(fields), events);
  });
  return store;
}

Deno.test("the measured speed is the median of the newest job on that base model that has a few steps", () => {
  const store = storeWith([
    { model: "a", speeds: [1, 2, 3] },
    { model: "a", speeds: [5, 100, 7, 6, 0] },
    { model: "a", speeds: [9] },
    { model: "b", speeds: [50, 60, 70] },
  ]);
  const found = measuredSpeed(store, "a")!;
  assertEquals([found.tokensPerSecond, found.workers], [7, 3]);
  assertStringIncludes(found.source, "ftjob-1");
  assertEquals(measuredSpeed(store, "c"), null);
});

import { assertEquals } from "@std/assert";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import type { NewJobEvent } from "./job_store.ts";
import { logJobEvents } from "./logged_job_store.ts";
import { openSqliteJobStore } from "./sqlite_job_store.ts";

function setUp() {
  const lines: string[] = [];
  const clock = createFakeClock();
  const store = logJobEvents(
    openSqliteJobStore(":memory:"),
    clock,
    (level, message) => lines.push(`${level} ${message}`),
  );
  return { lines, clock, store };
}

const message = (text: string, level: NewJobEvent["level"] = "info"): NewJobEvent => (
  { jobId: "ftjob-1", createdAt: 0, level, type: "message", message: text, data: null }
);
const metrics = (step: number, jobId = "ftjob-1"): NewJobEvent => ({
  ...{ jobId, createdAt: 0, level: "info", type: "metrics" },
  message: `Step ${step}/500: training loss=1.0000`,
  data: { step, total_steps: 500, tokens_per_second: 812.4, workers: 1, eta_seconds: 61.2 },
});

Deno.test("each event is a log line with the job's id", () => {
  const { lines, store } = setUp();
  store.appendEvents([message("Training has started."), message("w-1 is gone: silent.", "warn")]);
  assertEquals(lines, ["info ftjob-1: Training has started.", "warn ftjob-1: w-1 is gone: silent."]);
});

Deno.test("of 500 steps in 100 s, the first, the last and one every 10 s are logged", async () => {
  const { lines, clock, store } = setUp();
  for (let step = 1; step <= 500; step++) {
    store.appendEvents([metrics(step)]);
    await clock.advance(200);
  }
  assertEquals(lines.length, 11);
  assertEquals(
    lines[0],
    "info ftjob-1: Step 1/500: training loss=1.0000, 812 tokens/s with 1 worker, 61 s left",
  );
  assertEquals(lines.at(-1)!.includes("Step 500/500"), true);
  store.appendEvents([metrics(1, "ftjob-2")]);
  assertEquals(lines.at(-1)!.startsWith("info ftjob-2: Step 1/"), true);
});

Deno.test("secrets reach neither the log nor the store", () => {
  const { lines, store } = setUp();
  store.appendEvents([message("GET https://cdn/x?X-Amz-Signature=abc failed")]);
  const clean = "GET https://cdn/x?X-Amz-Signature=[redacted] failed";
  assertEquals(lines, [`info ftjob-1: ${clean}`]);
  assertEquals(store.events("ftjob-1", { after: null, limit: 1 }).items[0]!.message, clean);
});

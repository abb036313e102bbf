import { assertEquals } from "@std/assert";
import { JobLine } from "./job_line.ts";
import { jobFixture } from "./record/job_fixture.ts";
import type { JobRecord } from "./record/job.ts";

function add(line: JobLine, ...jobs: readonly JobRecord[]): void {
  for (const job of jobs) line.update(job);
}

Deno.test("the oldest queued job trains next, unless an older one in preparation is not yet overdue", () => {
  const line = new JobLine();
  assertEquals(line.next(), null);
  add(line, jobFixture("a"), jobFixture("b"), jobFixture("c", { status: "queued" }));
  assertEquals(line.next(), { kind: "wait", older: ["a", "b"] });
  line.markOverdue(["a"]);
  assertEquals(line.next(), { kind: "wait", older: ["a", "b"] });
  line.update({ id: "b", status: "failed" });
  assertEquals(line.next(), { kind: "train", id: "c" });
  line.update({ id: "a", status: "queued" });
  assertEquals(line.next(), { kind: "train", id: "a" });
});

Deno.test("a job in preparation for a second time is no longer overdue", () => {
  const line = new JobLine();
  add(line, jobFixture("a"), jobFixture("b", { status: "queued" }));
  line.markOverdue(["a"]);
  line.update({ id: "a", status: "paused" });
  line.update({ id: "a", status: "validating_files" });
  assertEquals(line.next(), { kind: "wait", older: ["a"] });
});

Deno.test("the oldest queued job follows the training one", () => {
  const line = new JobLine();
  add(line, jobFixture("a", { status: "queued" }), jobFixture("b"), jobFixture("c", { status: "queued" }));
  assertEquals([line.queuedBeside("a"), line.queuedBeside("c")], ["c", "a"]);
  line.update({ id: "c", status: "cancelled" });
  assertEquals(line.queuedBeside("a"), null);
});

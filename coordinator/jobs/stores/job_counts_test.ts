import { assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { compileOnce } from "../../storage/statements.ts";
import { jobFixture } from "../record/job_fixture.ts";
import type { JobStatus } from "../record/job.ts";
import { createJobCounts } from "./job_counts.ts";
import { openSqliteJobStore } from "./sqlite_job_store.ts";

const STATUSES: readonly JobStatus[] = ["validating_files", "queued", "running", "succeeded", "failed"];
const nonZero = (counts: ReadonlyMap<JobStatus, number>) =>
  Object.fromEntries([...counts].filter(([, count]) => count > 0).toSorted());

Deno.test("counts that are kept are those that a new count finds, after each change of a hundred jobs", () => {
  const path = Deno.makeTempFileSync({ suffix: ".sqlite" });
  const store = openSqliteJobStore(path);
  for (let change = 0; change < 500; change++) {
    store.putJob(jobFixture(`job-${change * 7 % 100}`, { status: STATUSES[change * 3 % 5]! }), []);
    if (change % 50 === 7) store.jobCounts();
  }
  const kept = nonZero(store.jobCounts());
  store.close();
  const again = openSqliteJobStore(path);
  assertEquals(kept, nonZero(again.jobCounts()));
  assertEquals(Object.values(kept).reduce((a, b) => a + b), 100);
  again.close();
  Deno.removeSync(path);
});

Deno.test("all records are read once; a write that fails changes no count", () => {
  const db = new DatabaseSync(":memory:");
  db.exec("CREATE TABLE jobs (id TEXT PRIMARY KEY, record TEXT)");
  const compiled = compileOnce(db);
  let fullReads = 0;
  const counts = createJobCounts((sql) => {
    if (sql.includes("GROUP BY")) fullReads++;
    return compiled(sql);
  });
  const put = (id: string, status: JobStatus) =>
    counts.around({ id, status }, () => {
      compiled("INSERT OR REPLACE INTO jobs VALUES (?, ?)").run(id, JSON.stringify({ status }));
    });
  put("a", "queued");
  assertEquals(nonZero(counts.all()), { queued: 1 });
  put("a", "running");
  put("b", "queued");
  assertThrows(() =>
    counts.around({ id: "b", status: "failed" }, () => {
      throw new Error("the disk is full");
    })
  );
  assertEquals(nonZero(counts.all()), { queued: 1, running: 1 });
  assertEquals(fullReads, 1);
  db.close();
});

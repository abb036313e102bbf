import { assert, assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { openSqliteJobStore } from "../jobs/stores/sqlite_job_store.ts";
import { jobFixture } from "../jobs/record/job_fixture.ts";
import { openAccessStore } from "../access/access_store.ts";
import { compileOnce } from "./statements.ts";

/** Counts the statements that are compiled while `body` runs. */
function compiledBy(body: () => void): number {
  const original = DatabaseSync.prototype.prepare;
  let count = 0;
  DatabaseSync.prototype.prepare = function (...args) {
    count++;
    return original.apply(this, args);
  };
  try {
    body();
  } finally {
    DatabaseSync.prototype.prepare = original;
  }
  return count;
}

Deno.test("SQL is compiled once, however often it runs, and with each run's own parameters", () => {
  const db = new DatabaseSync(":memory:");
  const compiled = compileOnce(db);
  const count = compiledBy(() => {
    for (let value = 0; value < 100; value++) {
      assertEquals({ ...compiled("SELECT ? AS value").get(value) }, { value });
    }
  });
  assertEquals(count, 1);
  db.close();
});

Deno.test("texts that differ each time do not pile up", () => {
  let compiledCount = 0;
  const compiled = compileOnce({ prepare: () => ({ number: compiledCount++ }) as never });
  for (let text = 0; text < 10_000; text++) compiled(`SELECT ${text}`);
  assertEquals(compiledCount, 10_000);
  const before = compiled("SELECT 9999");
  assert(compiled("SELECT 9999") === before);
});

Deno.test("reading and writing records a thousand times compiles a dozen statements", () => {
  const store = openSqliteJobStore(":memory:");
  const access = openAccessStore(":memory:");
  const count = compiledBy(() => {
    for (let step = 0; step < 1000; step++) {
      const event = { jobId: "a", createdAt: step, level: "info", type: "message", data: null } as const;
      store.putJob(jobFixture("a"), [{ ...event, message: `${step}` }]);
      assertEquals(store.eventsSince("a", step, 10).map(({ number }) => number), [step + 1]);
      assertEquals(store.job("a")?.id, "a");
      store.jobs({ after: null, limit: 20, metadata: { a: "b" } });
      store.jobCounts();
      store.files({ after: null, limit: 20, purpose: null });
      store.uploadedBytes("key");
      access.tokens();
      access.worker("key");
    }
  });
  assert(count <= 12, `${count} statements were compiled`);
  store.close();
  access.close();
});

Deno.test("a compiled statement goes on after the disk was full, and holds no lock after a row was read", () => {
  const db = new DatabaseSync(":memory:");
  db.exec("CREATE TABLE t (text TEXT); PRAGMA max_page_count = 10");
  const compiled = compileOnce(db);
  const insert = () => compiled("INSERT INTO t VALUES (?)").run("x".repeat(4000));
  assertThrows(
    () => {
      for (let row = 0; row < 20; row++) insert();
    },
    Error,
    "full",
  );
  const first = compiled("SELECT text FROM t").get();
  assertEquals(first?.["text"], "x".repeat(4000));
  db.exec("PRAGMA max_page_count = 1000");
  assertEquals(insert().changes, 1);
  db.exec("DROP TABLE t");
  db.close();
});

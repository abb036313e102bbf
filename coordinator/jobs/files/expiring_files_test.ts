import { assertEquals } from "@std/assert";
import { jobFixture } from "../record/job_fixture.ts";
import type { FileRecord } from "../stores/job_store.ts";
import { openSqliteJobStore } from "../stores/sqlite_job_store.ts";
import { ExpiringFiles } from "./expiring_files.ts";

const file = (id: string, expiresAt: number | null): FileRecord => ({
  ...{ id, createdAt: 0, filename: "a", purpose: "fine-tune", size: 1, sha256: "ab", artifact: null },
  expiresAt,
});

Deno.test("expired files, old and new, are deleted unless an unfinished job needs them", () => {
  const store = openSqliteJobStore(":memory:");
  let now = 0;
  const deleted: string[] = [];
  store.putFile(file("stored", 10));
  store.putFile(file("kept", null));
  const expiring = new ExpiringFiles(store, { now: () => now }, (id) => void deleted.push(id));
  for (const id of ["new", "needed"]) {
    store.putFile(file(id, 20));
    expiring.add(file(id, 20));
  }
  const spec = { ...jobFixture("a").spec, training_file: "needed" };
  store.putJob(jobFixture("a", { spec }), []);
  expiring.deleteExpired();
  assertEquals(deleted, []);
  now = 10;
  expiring.deleteExpired();
  assertEquals(deleted, ["stored"]);
  now = 20;
  expiring.deleteExpired();
  assertEquals([deleted, store.file("stored"), store.file("needed")?.id], [
    ["stored", "new"],
    null,
    "needed",
  ]);
  store.putJob(jobFixture("a", { spec, status: "failed" }), []);
  expiring.deleteExpired();
  assertEquals([deleted.at(-1), store.file("kept")?.id], ["needed", "kept"]);
  store.close();
});

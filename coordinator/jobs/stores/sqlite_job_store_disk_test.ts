import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { LoraFleetError } from "../../../shared/errors.ts";
import { jobFixture } from "../record/job_fixture.ts";
import { inTransaction, onDatabase } from "../../storage/sqlite.ts";
import { openSqliteJobStore } from "./sqlite_job_store.ts";

function inFolder(body: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("a job and the numbers of events survive a restart", () =>
  inFolder((folder) => {
    const path = `${folder}/new/coordinator.sqlite`;
    const event = {
      jobId: "a",
      createdAt: 1,
      level: "warn",
      type: "message",
      message: "m",
      data: null,
    } as const;
    const first = openSqliteJobStore(path);
    const [before] = first.putJob(jobFixture("a"), [event]);
    first.close();
    const second = openSqliteJobStore(path);
    assertEquals(second.job("a"), jobFixture("a"));
    const [after] = second.appendEvents([event]);
    assertEquals(after!.number, before!.number + 1);
    second.close();
  }));

Deno.test("a second coordinator on the same data folder is refused until the first one ends", () =>
  inFolder((folder) => {
    const path = `${folder}/coordinator.sqlite`;
    const first = openSqliteJobStore(path);
    const error = assertThrows(() => openSqliteJobStore(path), LoraFleetError, "another coordinator");
    assertEquals(error.code, "conflict");
    first.putJob(jobFixture("a"), []);
    first.close();
    openSqliteJobStore(path).close();
  }));

Deno.test("a file that is not a job store is refused and left untouched", () =>
  inFolder((folder) => {
    Deno.writeTextFileSync(
      `${folder}/text`,
      "not a database, but more than the hundred bytes of a header".repeat(9),
    );
    const text = assertThrows(() => openSqliteJobStore(`${folder}/text`), LoraFleetError, `${folder}/text`);
    assertEquals(text.code, "storage");
    const newer = new DatabaseSync(`${folder}/newer`);
    newer.exec("PRAGMA user_version = 99");
    newer.close();
    const version = assertThrows(() => openSqliteJobStore(`${folder}/newer`), LoraFleetError, "version 99");
    assertEquals(version.code, "storage");
  }));

Deno.test("a full disk is a storage error, whether SQLite or the store rolls back; with room the store works again", () =>
  inFolder((folder) => {
    const db = new DatabaseSync(`${folder}/full.sqlite`);
    db.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (text TEXT)");
    const fill = () =>
      inTransaction(db, () => {
        for (let row = 0; row < 200; row++) db.prepare("INSERT INTO t VALUES (?)").run("x".repeat(4000));
      });
    const count = () => db.prepare("SELECT count(*) AS count FROM t").get()?.["count"];
    db.exec("PRAGMA max_page_count = 20");
    const error = assertThrows(fill, LoraFleetError);
    assertEquals(error.code, "storage");
    assertStringIncludes(error.message, "database or disk is full; make room on its disk, and try again");
    assertEquals([db.isTransaction, count()], [false, 0]);
    // SQLite ended the transaction itself: a second rollback would hide the error.
    const own = assertThrows(() =>
      inTransaction(db, () => {
        db.exec("ROLLBACK");
        throw Object.assign(new Error("disk I/O error"), { errcode: 10 | (3 << 8) });
      }), LoraFleetError);
    assertEquals([own.code, own.message.includes("disk I/O error")], ["storage", true]);
    assertThrows(() => onDatabase("store", () => db.exec("SELECT nonsense")), Error, "nonsense");
    db.exec("PRAGMA max_page_count = 100000");
    fill();
    assertEquals(count(), 200);
    db.close();
  }));

Deno.test("the probe writes to the disk and changes nothing", () =>
  inFolder((folder) => {
    const path = `${folder}/coordinator.sqlite`;
    const store = openSqliteJobStore(path);
    store.putJob(jobFixture("a"), []);
    const before = Deno.statSync(`${path}-wal`).size;
    store.probe();
    assert(Deno.statSync(`${path}-wal`).size > before, "nothing was written");
    assertEquals(store.job("a"), jobFixture("a"));
    store.close();
    openSqliteJobStore(path).close();
  }));

Deno.test("an unreadable record is skipped and reported once; all others are listed", () =>
  inFolder((folder) => {
    const path = `${folder}/coordinator.sqlite`;
    const first = openSqliteJobStore(path);
    for (const id of ["a", "b", "c"]) first.putJob(jobFixture(id), []);
    first.close();
    const damaged = new DatabaseSync(path);
    damaged.exec(`UPDATE jobs SET record = json_remove(record, '$.spec.training_file') WHERE id = 'b'`);
    damaged.close();

    const reports: string[] = [];
    const store = openSqliteJobStore(path, (message) => void reports.push(message));
    assertEquals(store.unfinishedJobs().map(({ id }) => id), ["a", "c"]);
    assertEquals([store.job("b"), store.job("c")?.id], [null, "c"]);
    const page = store.jobs({ after: null, limit: 2 });
    assertEquals([page.items.map(({ id }) => id), page.hasMore], [["c"], true]);
    assertEquals(store.jobs({ after: "c", limit: 2 }).items.map(({ id }) => id), ["a"]);
    assertEquals(reports.length, 1);
    assertStringIncludes(reports[0]!, 'row 2 of the table "jobs"');
    assertStringIncludes(reports[0]!, "spec.training_file");
    store.close();
  }));

import { assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { LoraFleetError } from "../../shared/errors.ts";
import { jobFixture, testJobStore } from "./job_store_contract.ts";
import { openSqliteJobStore } from "./sqlite_job_store.ts";

testJobStore("sqlite job store", () => openSqliteJobStore(":memory:"));

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

Deno.test("a second coordinator on the same data folder is refused, and may follow", () =>
  inFolder((folder) => {
    const path = `${folder}/coordinator.sqlite`;
    const first = openSqliteJobStore(path);
    const error = assertThrows(() => openSqliteJobStore(path), LoraFleetError, "another coordinator");
    assertEquals(error.code, "conflict");
    first.putJob(jobFixture("a"), []);
    first.close();
    openSqliteJobStore(path).close();
  }));

Deno.test("a file that is not ours is refused and kept", () =>
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

/** Data folders that earlier versions left open with this one, with everything in them; those of newer versions do not. */
import { assertEquals, assertGreater, assertMatch, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { dirname, fromFileUrl, join } from "@std/path";
import { openAccessStore } from "../../coordinator/access/access_store.ts";
import { JOB_MIGRATIONS, SCHEMA_VERSION } from "../../coordinator/jobs/stores/job_database.ts";
import { fileRecordSchema } from "../../coordinator/jobs/stores/job_store.ts";
import { openSqliteJobStore } from "../../coordinator/jobs/stores/sqlite_job_store.ts";
import { migrate, versionOf } from "../../coordinator/storage/migrations.ts";
import { LoraFleetError } from "../../shared/errors.ts";

const here = dirname(fromFileUrl(import.meta.url));
const ALL = { after: null, limit: 100 };

/** A copy of a version's folder. */
async function withLayout(version: number, body: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-layout-" });
  try {
    for (const name of ["coordinator.sqlite", "access.sqlite"]) {
      await Deno.copyFile(join(here, `v${version}`, name), join(folder, name));
    }
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const storedVersion = (path: string): number => {
  using db = new DatabaseSync(path);
  return versionOf(db);
};

Deno.test("the newest version has a committed folder", async () => {
  assertEquals((await Deno.stat(join(here, `v${SCHEMA_VERSION}`))).isDirectory, true);
});

for (let version = 1; version <= SCHEMA_VERSION; version++) {
  Deno.test(`a folder of version ${version} opens with all its records`, () =>
    withLayout(version, (folder) => {
      const unreadable: string[] = [];
      const migrated: number[] = [];
      const path = join(folder, "coordinator.sqlite");
      const store = openSqliteJobStore(
        path,
        (line) => unreadable.push(line),
        (from, to) => migrated.push(from, to),
      );
      const [cancelled, trained] = store.jobs(ALL).items;
      assertEquals([cancelled?.status, trained?.status], ["cancelled", "succeeded"]);
      assertEquals(store.jobs({ ...ALL, metadata: { team: "red" } }).items, [trained!]);
      const { id, spec, fineTunedModel, owner } = trained!;
      assertMatch(fineTunedModel!, /^ft:org\/tiny::ftjob-/);
      assertEquals(owner, version < 2 ? undefined : "key-of-ann");
      assertEquals(store.file(spec.training_file)?.size, 3);
      assertEquals(store.checkpoints(id, ALL).items.length, 2);
      assertGreater(store.eventsSince(id, 0, 100).length, 3);
      // The position of a deleted file.
      const { items } = store.files({ ...ALL, purpose: null });
      assertEquals(items.every((file) => file.artifact !== null || file.owner === undefined), true);
      store.putFile({ ...items[0]!, id: "file-new", size: 7, owner: "key-of-ann" });
      assertEquals(store.uploadedBytes("key-of-ann"), 7);
      store.close();
      assertEquals(unreadable, []);
      assertEquals(migrated, version === SCHEMA_VERSION ? [] : [version, SCHEMA_VERSION]);
      assertEquals(storedVersion(path), SCHEMA_VERSION);

      const access = openAccessStore(join(folder, "access.sqlite"));
      assertEquals(access.tokens().map(({ name }) => name), ["of the first release"]);
      assertEquals(access.revokedWorkers().map(({ worker }) => worker), ["w1"]);
      assertEquals(access.apiKeys().map(({ name }) => name), version < 2 ? [] : ["ann"]);
      access.close();
    }));
}

Deno.test("what a newer lorafleet wrote is refused, and stays as it is", () =>
  withLayout(SCHEMA_VERSION, async (folder) => {
    for (const [name, open] of [["coordinator", openSqliteJobStore], ["access", openAccessStore]] as const) {
      const path = join(folder, `${name}.sqlite`);
      {
        using db = new DatabaseSync(path);
        db.exec("PRAGMA user_version = 99");
      }
      const before = await Deno.readFile(path);
      const error = assertThrows(() => open(path), LoraFleetError);
      assertEquals([error.code, error.param], ["storage", "data-folder"]);
      assertMatch(
        error.message,
        /it has version 99, and this lorafleet reads versions up to \d: start the newer lorafleet that wrote it/,
      );
      assertEquals(storedVersion(path), 99);
      assertEquals((await Deno.readFile(path)).length, before.length);
    }
  }));

Deno.test("uploads have the fields of 0.1.0, which removes what it cannot read when somebody goes back to it", () => {
  // A field more needs a new version of the database, which 0.1.0 refuses as a whole.
  if (SCHEMA_VERSION > 2) return;
  assertEquals(Object.keys(fileRecordSchema.shape), [
    ...["id", "createdAt", "filename", "purpose", "size", "sha256", "artifact", "expiresAt", "owner"],
  ]);
});

Deno.test("a migration that fails half-way has not happened, and is done again", () =>
  withLayout(1, (folder) => {
    const path = join(folder, "coordinator.sqlite");
    {
      using db = new DatabaseSync(path);
      const halfway = `${JOB_MIGRATIONS[1]}; INSERT INTO no_such_table VALUES (1);`;
      assertThrows(() => migrate(db, path, [JOB_MIGRATIONS[0]!, halfway]), Error, "no such table");
    }
    assertEquals(storedVersion(path), 1);
    const store = openSqliteJobStore(path);
    assertEquals(store.jobs(ALL).items.length, 2);
    store.close();
    assertEquals(storedVersion(path), SCHEMA_VERSION);
  }));

Deno.test("a process that is killed in the middle of a migration leaves the old version, and the next one goes on", () =>
  withLayout(1, async (folder) => {
    const path = join(folder, "coordinator.sqlite");
    const migrations = new URL("../../coordinator/jobs/stores/job_database.ts", import.meta.url);
    const migrator = new URL("../../coordinator/storage/migrations.ts", import.meta.url);
    const program = `import { DatabaseSync } from "node:sqlite";
      import { JOB_MIGRATIONS } from ${JSON.stringify(migrations.href)};
      import { migrate } from ${JSON.stringify(migrator.href)};
      const db = new DatabaseSync(${JSON.stringify(path)});
      // Everything goes to the disk before the commit.
      db.exec("PRAGMA cache_size = 1; PRAGMA journal_mode = DELETE");
      migrate(db, "", [JOB_MIGRATIONS[0], (db) => {
        db.exec(JOB_MIGRATIONS[1]);
        db.exec("UPDATE events SET record = record || ' '");
        Deno.kill(Deno.pid, "SIGKILL");
      }]);`;
    const child = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--quiet", program],
      cwd: join(here, "../.."),
      stderr: "piped",
    }).output();
    assertEquals(child.signal, "SIGKILL", new TextDecoder().decode(child.stderr));
    assertEquals(storedVersion(path), 1);
    const store = openSqliteJobStore(path);
    assertEquals(store.jobs(ALL).items.length, 2);
    store.close();
    assertEquals(storedVersion(path), SCHEMA_VERSION);
  }));

import { assertEquals } from "@std/assert";
import { openAccessStore } from "../access/access_store.ts";
import { openSqliteJobStore } from "../jobs/stores/sqlite_job_store.ts";
import { jobFixture } from "../jobs/record/job_fixture.ts";
import { writeStreamedFile } from "./streamed_file.ts";
import { makePrivate } from "./private_folder.ts";

/** Paths below the folder that anybody but the owner may use, with their modes. */
async function open(folder: string): Promise<string[]> {
  const { mode, isDirectory, isSymlink } = await Deno.lstat(folder);
  const found = isSymlink || (mode! & 0o077) === 0 ? [] : [`${folder} ${(mode! & 0o777).toString(8)}`];
  if (!isDirectory) return found;
  for await (const { name } of Deno.readDir(folder)) found.push(...await open(`${folder}/${name}`));
  return found;
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("files that an earlier release left readable become private, except base models and links", () =>
  inFolder(async (folder) => {
    const data = `${folder}/data`;
    await Deno.mkdir(`${data}/artifacts/ftjob-1/2`, { recursive: true, mode: 0o755 });
    await Deno.mkdir(`${data}/models/tiny`, { recursive: true, mode: 0o755 });
    for (
      const path of [
        "coordinator.sqlite",
        "artifacts/ftjob-1/2/adapter_model.safetensors",
        "models/tiny/config.json",
      ]
    ) {
      await Deno.writeTextFile(`${data}/${path}`, "x", { mode: 0o644 });
    }
    await Deno.writeTextFile(`${folder}/elsewhere`, "x", { mode: 0o644 });
    await Deno.symlink(`${folder}/elsewhere`, `${data}/link`);
    await Deno.writeTextFile(`${data}/run`, "x", { mode: 0o755 });
    const warnings: string[] = [];
    await makePrivate(data, [`${data}/models`], (message) => void warnings.push(message));
    assertEquals((await open(data)).sort(), [
      `${data}/models 755`,
      `${data}/models/tiny 755`,
      `${data}/models/tiny/config.json 644`,
    ]);
    assertEquals((await Deno.stat(`${data}/run`)).mode! & 0o777, 0o700);
    assertEquals((await Deno.stat(`${folder}/elsewhere`)).mode! & 0o777, 0o644);
    assertEquals(warnings, []);
  }));

Deno.test("new files are private from their creation, SQLite's own included", () =>
  inFolder(async (folder) => {
    const data = `${folder}/data`;
    const jobs = openSqliteJobStore(`${data}/coordinator.sqlite`);
    const access = openAccessStore(`${data}/access.sqlite`);
    jobs.putJob(jobFixture("a"), []);
    await writeStreamedFile(`${data}/files/file-1`, ReadableStream.from([new Uint8Array(3)]), {
      maxBytes: 9,
    });
    const names = (await Array.fromAsync(Deno.readDir(data))).map(({ name }) => name);
    assertEquals(names.includes("coordinator.sqlite-wal"), true, names.join());
    assertEquals(await open(data), []);
    jobs.close();
    access.close();
  }));

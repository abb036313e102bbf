/**
 * A backup of a coordinator that trains, taken online: the folder is wiped, restored, and the job goes on to the same hash. Then
 * what is refused: damaged, cut and newer archives. The processes and the broker are real, the workers have no GPU.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { dirname, fromFileUrl, join } from "@std/path";
import { restoreBackup } from "../../coordinator/upkeep/backup/restore.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { Agent } from "../../worker/fleet/agent.ts";
import {
  type CoordinatorChild,
  freePort,
  jobOf,
  messagesOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";
import { writeToyModel } from "./toy_model.ts";
import { startToyWorker } from "./toy_worker.ts";

const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));
const STEPS = 24;
const TRAINING = {
  max_steps: STEPS,
  gradient_accumulation_steps: 4,
  learning_rate: 1e-2,
  logging_steps: 1,
  save_strategy: "steps",
  save_steps: 4,
};

/** Runs `deno task backup` or `restore`. */
async function run(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-A", join(root, "coordinator/upkeep/backup/main.ts"), ...args],
    env: { NO_COLOR: "1", LORAFLEET_API_KEY: "" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Its state has the toy engine's size. */
const MODEL = { model: "toy", lora: { r: 4, lora_alpha: 8, target_modules: ["q_proj"] } };

interface Trial {
  readonly folder: string;
  readonly api: string;
  readonly jobId: string;
  readonly coordinator: CoordinatorChild;
  start(): Promise<CoordinatorChild>;
  reached(step: number): Promise<void>;
}

/** The losses and the hash of the adapter of a job during which `disturb` happens. */
async function train(disturb: (trial: Trial) => Promise<void>) {
  let found = { losses: [] as string[], sha256: "", messages: [] as string[] };
  await withFolder(async (folder) => {
    const port = freePort();
    await using children = new AsyncDisposableStack();
    await writeToyModel(`${folder}/models/toy`);
    const args = ["--port", String(port), "--model-roots", `${folder}/models`];
    const start = async () => {
      const child = children.use(startCoordinatorChild(`${folder}/data`, args));
      await child.joinUrl();
      return child;
    };
    const coordinator = await start();
    const joinUrl = await coordinator.joinUrl();
    const workers: Agent[] = ["w-a", "w-b"].map((name) =>
      startToyWorker({ name, joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 15 })
    );
    children.defer(async () => void await Promise.all(workers.map((worker) => worker.stop())));
    const api = coordinator.api();
    const jobId = await submitJob(api, TRAINING, {}, MODEL);
    const job = () => jobOf(api, jobId).catch(() => null);
    const reached = (step: number) =>
      until(`step ${step}`, async () => (await job() ?? { step: 0 }).step >= step);
    await disturb({ folder, api, jobId, coordinator, start, reached });
    const isOver = async () => ["succeeded", "failed"].includes((await job())?.status ?? "");
    await until("the end of the job", isOver);
    assertEquals((await job())?.status, "succeeded", JSON.stringify((await job())?.error));
    const { result_files } = await (await fetch(`${api}/fine_tuning/jobs/${jobId}`)).json();
    const files = await Promise.all(
      result_files.map(async (id: string) => await (await fetch(`${api}/files/${id}`)).json()),
    );
    const messages = await messagesOf(api, jobId);
    const losses = messages.filter((message) => /^Step \d+\//.test(message));
    const { sha256 } = files.find(({ filename }) => filename === "adapter_model.safetensors");
    found = { losses, sha256, messages };
  });
  return found;
}

let plain: ReturnType<typeof train> | null = null;
const trainUndisturbed = () => plain ??= train(() => Promise.resolve());

Deno.test("backup while it trains, wipe, restore: the job goes on to the same hash", async () => {
  const undisturbed = await trainUndisturbed();
  let backedUpAt = 0;
  const restored = await train(async ({ folder, api, jobId, coordinator, start, reached }) => {
    await reached(9);
    const out = `${folder}/backup.tar`;
    const written = await run("backup", "--data-folder", `${folder}/data`, "--out", out);
    assertEquals(written.stderr, "");
    assertMatch(written.stdout, /backup\.tar: \d+ bytes/);
    assertEquals((await Deno.stat(out)).mode! & 0o777, 0o600);
    assertEquals((await run("backup", "--data-folder", `${folder}/data`, "--out", out)).code, 1);
    backedUpAt = (await jobOf(api, jobId)).step;
    // Nothing of it is left in the folder.
    assertEquals([...Deno.readDirSync(`${folder}/data/snapshots`)], []);
    await reached(backedUpAt + 5);
    coordinator.kill("SIGKILL");
    await coordinator.ended;
    await until("the end of its broker", async () => {
      const pid = await Deno.readTextFile(`${folder}/data/nats/nats-server.pid`).catch(() => null);
      return pid === null || !await Deno.stat(`/proc/${pid.trim()}`).then(() => true, () => false);
    });
    await Deno.remove(`${folder}/data`, { recursive: true });
    const read = await run("restore", "--from", out, "--data-folder", `${folder}/data`);
    assertEquals([read.code, read.stderr], [0, ""]);
    await start();
  });
  const text = restored.messages.join("\n");
  assertMatch(
    text,
    /The broker has no log of this job: training goes on from the newest stored state, that of step \d+\./,
  );
  assertEquals(restored.sha256, undisturbed.sha256);
  // Steps after the stored state are reported twice, with the same losses.
  assertEquals([...new Set(restored.losses)], undisturbed.losses);
});

Deno.test("upgrade while a job runs: drain, replace, migrate an older folder, and the job goes on to the same hash", async () => {
  const undisturbed = await trainUndisturbed();
  const upgraded = await train(async ({ folder, coordinator, start, reached }) => {
    await reached(9);
    coordinator.kill("SIGTERM");
    assertEquals((await coordinator.ended).code, 0);
    await asVersionOne(`${folder}/data`);
    const next = await start();
    await until(
      "the migration",
      () => next.stderr().includes("the job store is brought from version 1 to 2"),
    );
    assertEquals(JSON.parse(await Deno.readTextFile(`${folder}/data/layout.json`)), { layout: 1 });
  });
  assertEquals(upgraded.sha256, undisturbed.sha256);
  assertEquals(upgraded.losses, undisturbed.losses);
  assertMatch(upgraded.messages.join("\n"), /Training continues after step \d+\./);
});

/** As the release before left a folder: without the files' owners, API keys, and a version of the layout. */
async function asVersionOne(dataFolder: string): Promise<void> {
  {
    using db = new DatabaseSync(`${dataFolder}/coordinator.sqlite`);
    db.exec(
      `DROP INDEX files_by_owner; ALTER TABLE files DROP COLUMN owner; ALTER TABLE files DROP COLUMN size;
      PRAGMA user_version = 1`,
    );
  }
  {
    using db = new DatabaseSync(`${dataFolder}/access.sqlite`);
    db.exec("DROP TABLE api_keys; PRAGMA user_version = 0");
  }
  await Deno.remove(`${dataFolder}/layout.json`);
}

Deno.test("a folder that nobody uses is backed up too; damaged, cut and newer archives are refused by name", () =>
  withFolder(async (folder) => {
    const data = `${folder}/data`;
    {
      await using coordinator = startCoordinatorChild(data);
      await coordinator.joinUrl();
      const body = new FormData();
      body.append("purpose", "fine-tune");
      body.append("file", new File(['{"text":"a"}\n'], "train.jsonl"));
      await (await fetch(`${coordinator.api()}/files`, { method: "POST", body })).json();
      coordinator.kill("SIGTERM");
      await coordinator.ended;
    }
    const out = `${folder}/backup.tar`;
    assertEquals((await run("backup", "--data-folder", data, "--out", out)).stderr, "");
    const occupied = await run("restore", "--from", out, "--data-folder", data);
    assertMatch(occupied.stderr, /^restore: --data-folder ".*" is not empty: move it away first/);

    const bytes = await Deno.readFile(out);
    const refused = async (change: (bytes: Uint8Array) => Uint8Array): Promise<LoraFleetError> => {
      await Deno.writeFile(`${folder}/changed.tar`, change(bytes.slice()));
      try {
        await restoreBackup(`${folder}/changed.tar`, `${folder}/other`);
      } catch (thrown) {
        assert(thrown instanceof LoraFleetError);
        const left = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) =>
          name.startsWith("other")
        );
        assertEquals(left, []);
        return thrown;
      }
      throw new Error("a changed backup was restored");
    };
    const at = new TextDecoder("latin1").decode(bytes).indexOf('{"text":"a"}');
    const flipped = await refused((bytes) => {
      bytes[at + 9]! ^= 1;
      return bytes;
    });
    assertEquals(flipped.code, "corrupt");
    assertMatch(
      flipped.message,
      /changed\.tar" is damaged: "files\/file-\w+" has SHA-256 \w+, and \w+ was recorded/,
    );
    const cut = await refused((bytes) => bytes.subarray(0, Math.floor(bytes.length / 2)));
    assertMatch(cut.message, /is damaged: it ends too early: \d+ bytes more were to come, at byte \d+/);
    const newer = await refused((bytes) => {
      const head = new TextDecoder("latin1").decode(bytes.subarray(0, 2048)).indexOf('"layout": 1');
      bytes.set(new TextEncoder().encode('"layout": 9'), head);
      return bytes;
    });
    assertMatch(
      newer.message,
      /is from a newer lorafleet: the layout has version 9, and this one reads versions up to 1/,
    );
    const foreign = await refused(() => new Uint8Array(2048).fill(7));
    assertMatch(foreign.message, /is damaged: there is no header of a file, at byte 0/);

    const restored = await run("restore", "--from", out, "--data-folder", `${folder}/other`);
    assertEquals(restored.stderr, "");
    assertMatch(restored.stdout, /other: \d+ files, \d+ bytes, as of \d{4}-/);
    {
      using db = new DatabaseSync(`${folder}/other/coordinator.sqlite`);
      assertEquals(db.prepare("SELECT count(*) AS n FROM files").get()?.["n"], 1);
    }
    const { coordinatorId, leaseHolders } = JSON.parse(
      await Deno.readTextFile(`${folder}/other/coordinator.json`),
    );
    const before = JSON.parse(await Deno.readTextFile(`${data}/coordinator.json`));
    assertEquals([coordinatorId, leaseHolders], [before.coordinatorId, []]);
    assertEquals(
      (await run("backup", "--data-folder", `${folder}/none`, "--out", `${folder}/x.tar`)).code,
      1,
    );
    assertEquals((await run("backup", "--out", `${folder}/x.tar`)).code, 2);
  }));

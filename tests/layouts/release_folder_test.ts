/**
 * What the fleet of an earlier release left in its data folder, as a backup of it: this release restores it, opens every record,
 * and goes on with the job in whose middle it was taken, to the adapter that the earlier release made (make_folder.ts).
 */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { z } from "zod";
import { restoreBackup } from "../../coordinator/upkeep/backup/restore.ts";
import {
  jobOf,
  messagesOf,
  startCoordinatorChild,
  until,
  withFolder,
} from "../integration/coordinator_child.ts";
import { writeToyModel } from "../integration/toy_model.ts";
import { startToyWorker } from "../integration/toy_worker.ts";
import { lastReleased, readReleases } from "../documents/releases.ts";

const folders = new URL("./folders/", import.meta.url);
const expectedSchema = z.object({
  version: z.string(),
  jobs: z.record(z.string(), z.object({ status: z.string(), adapter_sha256: z.string().optional() })),
  /** Jobs as the earlier release's API showed them. */
  views: z.record(z.string(), z.record(z.string(), z.unknown())),
});

const versions = (await Array.fromAsync(Deno.readDir(folders), ({ name }) => name))
  .filter((name) => name.endsWith(".json")).map((name) => name.replace(".json", ""));

Deno.test("the last release's data folder is among those that are tested", async () => {
  const { version } = lastReleased(await readReleases());
  assert(
    versions.includes(version),
    `${version} is not among ${versions}: tests/layouts/make_folder.ts writes it`,
  );
});

for (const version of versions) {
  Deno.test(`a backup of ${version} is restored and opened, and its job goes on to the same adapter`, () =>
    withFolder(async (folder) => {
      const expected = expectedSchema.parse(
        JSON.parse(await Deno.readTextFile(new URL(`${version}.json`, folders))),
      );
      assertEquals(expected.version, version);
      await unpack(fromFileUrl(new URL(`${version}.tar.gz`, folders)), `${folder}/backup.tar`);
      await restoreBackup(`${folder}/backup.tar`, `${folder}/data`);
      await writeToyModel(`${folder}/models/toy`);

      await using children = new AsyncDisposableStack();
      const args = ["--model-roots", `${folder}/models`];
      const coordinator = children.use(startCoordinatorChild(`${folder}/data`, args));
      const joinUrl = await coordinator.joinUrl();
      const api = coordinator.api();
      const ask = async (path: string) => await (await fetch(`${api}${path}`)).json();

      const jobs = Object.entries(expected.jobs);
      const found = await ask("/fine_tuning/jobs?limit=100");
      assertEquals(
        found.data.map(({ id }: { id: string }) => id).toSorted(),
        jobs.map(([id]) => id).toSorted(),
      );
      const [queued] = jobs.find(([, { status }]) => status === "queued")!;
      const [running, { adapter_sha256 }] = jobs.find(([, { status }]) => status === "running")!;
      const [succeeded, before] = jobs.find(([, { status }]) => status === "succeeded")!;
      for (const [id, view] of Object.entries(expected.views)) {
        // What changes while a job waits.
        const { status: _, step: _s, total_steps: _t, estimated_finish: _e, ...lasting } = view;
        assertEquals(partOf(await ask(`/fine_tuning/jobs/${id}`), lasting), lasting, id);
      }
      await fetch(`${api}/fine_tuning/jobs/${queued}/cancel`, { method: "POST" });
      assertEquals((await jobOf(api, succeeded)).status, "succeeded");
      assertEquals(await adapterOf(api, succeeded), before.adapter_sha256);
      assertGreater((await ask(`/fine_tuning/jobs/${succeeded}/checkpoints`)).data.length, 1);
      assertGreater((await messagesOf(api, succeeded)).length, 5);
      assertEquals((await ask("/api-keys")).data.map(({ name }: { name: string }) => name), ["ann"]);
      const tokens = (await ask("/join-tokens")).data.map(({ name }: { name: string }) => name);
      assert(tokens.includes("the rack"), tokens);

      const worker = startToyWorker({ name: "w-a", joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 0 });
      children.defer(() => worker.stop());
      await until("the end of the job", async () => (await jobOf(api, running)).status === "succeeded");
      const messages = (await messagesOf(api, running)).join("\n");
      assert(/goes on from the newest stored state, that of step \d+/.test(messages), messages);
      assertEquals(await adapterOf(api, running), adapter_sha256);
      assertEquals(/unreadable|cannot be read/.test(coordinator.stderr()), false, coordinator.stderr());
    }));
}

/** The fields of `value` that `shape` has, at any depth: a later release may show more. */
function partOf(value: unknown, shape: unknown): unknown {
  const isRecord = (of: unknown): of is Record<string, unknown> =>
    typeof of === "object" && of !== null && !Array.isArray(of);
  if (!isRecord(value) || !isRecord(shape)) return value;
  return Object.fromEntries(Object.entries(shape).map(([name, part]) => [name, partOf(value[name], part)]));
}

/** SHA-256 of what is downloaded. */
async function adapterOf(api: string, job: string): Promise<string> {
  const { result_files } = await (await fetch(`${api}/fine_tuning/jobs/${job}`)).json();
  for (const id of result_files) {
    const { filename } = await (await fetch(`${api}/files/${id}`)).json();
    if (filename !== "adapter_model.safetensors") continue;
    const bytes = await (await fetch(`${api}/files/${id}/content`)).arrayBuffer();
    return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  }
  throw new Error(`job ${job} has no adapter`);
}

async function unpack(packed: string, target: string): Promise<void> {
  using file = await Deno.open(packed);
  await Deno.writeFile(target, file.readable.pipeThrough(new DecompressionStream("gzip")));
}

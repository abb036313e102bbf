import { assert, assertEquals, assertMatch } from "@std/assert";
import { measureTaskSchema } from "../../../shared/protocol/messages_measure.ts";
import { decodeMicroBatch } from "../../../shared/protocol/micro_batch_codec.ts";
import { toMicroBatch } from "../../../shared/data/packing/packing.ts";
import { bytesOf } from "../../../tests/hub/content.ts";
import { startHub, WRITER_TOKEN } from "../../../tests/hub/hub.ts";
import { createNatsKeys } from "../../../shared/bus/nats_keys.ts";
import { workerIdOf } from "../../../shared/protocol/ids.ts";
import { errorOf, withWorld, type World, type WorldOptions } from "../../testing/app_fixture.ts";
import { fakePrepare } from "../../testing/fake_preparer.ts";
import { trainGoldenJob, untilExport } from "../export_fixture.ts";
import type { RunExport } from "../process/export_child.ts";
import type { ExportRecord } from "../record/export_record.ts";

const DRIFT = {
  ...{ rows: 2, tokens: 4, logit_mean_abs: 0.001, logit_max_abs: 0.25, kl_mean: 1e-6, top1_agreement: 1 },
  ...{ exact_match_base: 0, exact_match_trained: 1, exact_match_merged: 0.5, same_rows: 0.5 },
  ...{ rows_available: 2, rows_of: "training" as const },
};

/** Writes the card alone. */
const runExport: RunExport = async ({ outputFolder, card }) => {
  await Deno.writeTextFile(`${outputFolder}/README.md`, card);
  return [{ name: "README.md", size: card.length, sha256: "0".repeat(64) }];
};

const DOCUMENTS = [[1, 2, 3], [4, 5, 6]].map((tokens) => ({
  tokens: Uint32Array.from(tokens),
  completionMask: Uint8Array.from([0, 1, 1]),
}));

const WORLD: WorldOptions = {
  runExport,
  prepare: async (request) => ({
    ...await fakePrepare(request),
    microBatchesOf: (step) => step === 1 ? [toMicroBatch([{ documents: DOCUMENTS }])] : [],
  }),
};

interface FakeWorker {
  readonly id: string;
  readonly incarnation: string;
  ask(path?: string, init?: RequestInit): Promise<Response>;
}

/** A worker that has joined and is idle. */
function join(world: World): FakeWorker {
  const { publicKey } = createNatsKeys("user");
  const headers = world.worker(publicKey);
  const id = workerIdOf(publicKey);
  const me = { worker: id, incarnation: `i-${id}` };
  world.fleet.measuring = { ...world.fleet.measuring, workers: [...world.fleet.measuring.workers, me] };
  return {
    ...{ id, incarnation: me.incarnation },
    ask: (path = "", init = {}) => {
      const { exportId } = world.fleet.asked.at(-1)!;
      const url = `/internal/exports/${exportId}/measurement${path}`;
      return Promise.resolve(
        world.app.request(url, { ...init, headers: { ...headers, "content-type": "application/json" } }),
      );
    },
  };
}

const put = (worker: FakeWorker, body: unknown) =>
  worker.ask("", { method: "PUT", body: JSON.stringify(body) });

async function merged(world: World): Promise<ExportRecord> {
  const jobId = await trainGoldenJob(world);
  const { id } = world.services.exports.create(jobId, { kind: "merged", base: "original" });
  return await untilExport(world, { jobId, id });
}

const isWaiting = ({ measurement }: ExportRecord) =>
  measurement?.status === "waiting" && measurement.reason !== null;
const isRunning = ({ measurement }: ExportRecord) => measurement?.status === "running";
const card = (world: World, { id }: ExportRecord) =>
  Deno.readTextFile(`${world.folder}/exports/${id}/README.md`);

Deno.test("a merge waits for a worker, which gets adapter and rows, and its numbers are in record, events and card", () =>
  withWorld(WORLD, async (world) => {
    const record = await untilExport(world, await merged(world), isWaiting);
    assertEquals(record.measurement!.reason, "no worker has joined");
    assertMatch(await card(world, record), /Not measured: no worker has measured it yet\.\n$/);
    const worker = join(world);
    await untilExport(world, record, isRunning);
    const stranger = join(world);
    assertEquals((await errorOf(await stranger.ask())).slice(0, 2), [409, "conflict"]);

    const task = measureTaskSchema.parse(await (await worker.ask()).json());
    const { attempt } = world.fleet.asked.at(-1)!;
    assertEquals([task.exportId, task.attempt, task.base, task.dtype], [
      record.id,
      attempt,
      "original",
      null,
    ]);
    assertEquals(task.files.map(({ name }) => name), [
      ...["adapter_model.safetensors", "adapter_config.json", "rows.bin"],
    ]);
    for (const { name, size } of task.files) {
      const bytes = new Uint8Array(await (await worker.ask(`/files/${name}`)).arrayBuffer());
      assertEquals(bytes.length, size, name);
      if (name === "rows.bin") assertEquals(decodeMicroBatch(bytes).tokens, Uint32Array.of(1, 2, 3, 4, 5, 6));
    }
    assertEquals((await worker.ask("/files/other")).status, 404);
    assertEquals((await put(worker, { type: "measured", attempt: 1, drift: DRIFT })).status, 409);
    assertEquals((await put(worker, { type: "measured", attempt, drift: DRIFT })).status, 200);

    const { drift, measurement } = world.services.exports.get(record.jobId, record.id);
    assertEquals([drift, measurement!.status, measurement!.worker], [DRIFT, "succeeded", worker.id]);
    assertMatch(await card(world, record), /rows answered exactly by the base model \| 0\.0% \|/);
    assertMatch(await card(world, record), /On 2 training rows with 4 labels/);
    assertMatch(
      world.messages(record.jobId).at(-1)!,
      /is measured by w-\w+: on 2 training rows, exact match base 0\.0%, trained 100\.0%, merged 50\.0%; Kull/,
    );
    assertEquals((await put(worker, { type: "measured", attempt, drift: DRIFT })).status, 409);
  }));

Deno.test("a worker that is gone, or that has to train, loses the measurement, and the next one gets it", () =>
  withWorld(WORLD, async (world) => {
    const exported = await merged(world);
    const first = join(world);
    await untilExport(world, exported, isRunning);
    world.fleet.measuring = { isTraining: false, workers: [] };
    await untilExport(world, exported, isWaiting);
    const second = join(world);
    const { measurement } = await untilExport(world, exported, isRunning);
    assertEquals(measurement!.worker, second.id);
    assertEquals((await first.ask()).status, 409);
    world.fleet.measuring = { ...world.fleet.measuring, isTraining: true };
    const busy = await untilExport(world, exported, isWaiting);
    assertEquals(busy.measurement!.reason, "the workers train a job");
    assertEquals(busy.measurement!.failures, []);
    assert(world.messages(exported.jobId).some((message) => message.includes("will be measured again: w-")));
  }));

Deno.test("what a stopped coordinator had measured is measured with the next one", async () => {
  await withWorld(WORLD, async (world) => {
    const exported = await merged(world);
    join(world);
    await untilExport(world, exported, isRunning);
    await world.services.exports.stop();
    await world.jobs.stop();
    const { attempt } = world.fleet.asked.at(-1)!;
    await withWorld({ ...WORLD, after: world }, async (next) => {
      const waiting = await untilExport(next, exported, isWaiting);
      assertEquals(waiting.status, "succeeded");
      const worker = join(next);
      await untilExport(next, exported, isRunning);
      const task = measureTaskSchema.parse(await (await worker.ask()).json());
      assert(task.attempt > attempt);
    });
  });
});

Deno.test("three workers that fail leave a merge without numbers, and the card says why", () =>
  withWorld(WORLD, async (world) => {
    const exported = await merged(world);
    for (let failures = 0; failures < 3; failures++) {
      const worker = join(world);
      await untilExport(world, exported, ({ measurement }) => measurement?.worker === worker.id);
      const { attempt } = world.fleet.asked.at(-1)!;
      await put(worker, { type: "failed", attempt, code: "does_not_fit", reason: "the GPU is full" });
    }
    const { measurement } = world.services.exports.get(exported.jobId, exported.id);
    assertEquals([measurement!.status, measurement!.reason, measurement!.failures.length], [
      "failed",
      "the GPU is full",
      3,
    ]);
    assertMatch(await card(world, exported), /Not measured: the GPU is full\.\n$/);
  }));

Deno.test("a measurement that cannot be prepared is told, and no other worker is asked", () =>
  withWorld({ runExport }, async (world) => {
    const exported = await merged(world);
    const worker = join(world);
    await untilExport(world, exported, isRunning);
    assertEquals((await errorOf(await worker.ask())).slice(0, 2), [409, "conflict"]);
    const { measurement } = world.services.exports.get(exported.jobId, exported.id);
    assertEquals([measurement!.status, measurement!.reason], ["failed", "no row has a token to predict"]);
  }));

Deno.test("a push waits for the numbers, unless nobody can measure", async () => {
  await using hub = await startHub();
  const settings = { endpoint: hub.endpoint, token: WRITER_TOKEN, offline: false, cacheFolder: "/nowhere" };
  await withWorld({ ...WORLD, hub: settings }, async (world) => {
    const cardOn = async (repo: string) =>
      new TextDecoder().decode(await bytesOf(hub.repo("model", repo).tree().get("README.md")!.content));
    const { jobId, id } = await merged(world);
    const push = (repo: string) => world.services.exports.push(jobId, id, { hub_model_id: repo });
    const isPushed = (record: ExportRecord) => record.push?.status === "succeeded";
    push("org/early");
    await untilExport(world, { jobId, id }, isPushed);
    assertMatch(await cardOn("org/early"), /Not measured: no worker has measured it yet/);

    const worker = join(world);
    await untilExport(world, { jobId, id }, isRunning);
    assertEquals(push("org/late").push!.status, "queued");
    await put(worker, { type: "measured", attempt: world.fleet.asked.at(-1)!.attempt, drift: DRIFT });
    await untilExport(world, { jobId, id }, isPushed);
    assertMatch(await cardOn("org/late"), /On 2 training rows with 4 labels/);
  });
});

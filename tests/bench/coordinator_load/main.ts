/**
 * The load of users' data on a training job: coordinator, broker and worker are processes; while one job trains, others are
 * submitted, and /healthz is polled.
 *
 *     deno task bench:coordinator-load [--engine toy|gpu] [--model <folder>] [--seconds 20] [--only a,b,c]
 *
 * `--model` names the base model whose tokenizer prepares the large file; the default is a generated one of 32,000 tokens.
 */
import { parseArgs } from "node:util";
import { basename, dirname, fromFileUrl, join, resolve } from "@std/path";
import { toText } from "@std/streams";
import { systemClock } from "../../../shared/clock.ts";
import { spawnWorkerProcess } from "../../chaos/worker_child.ts";
import { jobOf, startCoordinatorChild, submitJob, until } from "../../integration/coordinator_child.ts";
import { summaryOf } from "../statistics.ts";
import { type Bench, measure, probe } from "./watch.ts";
import { wideRows, writeWideModel } from "./wide_model.ts";
import { exitWithHelp } from "../../documents/head_help.ts";

exitWithHelp(import.meta.url);

const ASSETS = fromFileUrl(new URL("../../../deploy/demo/assets", import.meta.url));
const HUGE = JSON.stringify({ text: "a".repeat(3_000_000) }) + "\n";
const LARGE_BYTES = 50_000_000;
const ROW_BYTES = 1750;
const QUEUED = 300;

async function upload(api: string, rows: Blob | string): Promise<string> {
  const form = new FormData();
  form.append("purpose", "fine-tune");
  form.append("file", new File([rows], "rows.jsonl"));
  const response = await fetch(`${api}/files`, { method: "POST", body: form });
  return (await response.json()).id;
}

async function create(api: string, request: object): Promise<string> {
  const response = await fetch(`${api}/fine_tuning/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
  });
  const job = await response.json();
  if (response.status !== 200) throw new Error(JSON.stringify(job));
  return job.id;
}

const cancel = async (api: string, id: string) =>
  await (await fetch(`${api}/fine_tuning/jobs/${id}/cancel`, { method: "POST" })).body?.cancel();
const leaves = (api: string, id: string, status: string, patienceMs = 600_000) =>
  until(`the end of ${status}`, async () => (await jobOf(api, id)).status !== status, () => "", patienceMs);

async function hugeRow({ api, seconds, ...bench }: Bench): Promise<void> {
  const training_file = await upload(api, HUGE);
  const request = { model: "base", training_file, dataset: { max_seq_length: 128 } };
  await measure({ api, seconds, ...bench }, 'a: 3 MB of "a", refused', async () => {
    const id = await create(api, request);
    await leaves(api, id, "validating_files");
    console.log(`   ${JSON.stringify((await jobOf(api, id)).error)}`);
  });
  await measure({ api, seconds, ...bench }, 'a: 3 MB of "a", all of it tokenised', async () => {
    const id = await create(api, {
      ...request,
      dataset: { max_seq_length: 128, packing_strategy: "wrapped" },
    });
    await Promise.race([leaves(api, id, "validating_files"), systemClock.sleep(2000 * seconds)]);
    console.log(`   after this time it is ${(await jobOf(api, id)).status}`);
    await cancel(api, id).catch(() => {});
  });
}

async function largeFile(bench: Bench, model: string): Promise<void> {
  const { api } = bench;
  const rows = [...wideRows(LARGE_BYTES, ROW_BYTES)];
  console.log(`   ${rows.length} rows, ${rows.reduce((sum, row) => sum + row.length, 0)} bytes`);
  const file = await measure(bench, "b: the upload of 50 MB", () => upload(api, new Blob(rows)));
  const request = { model, training_file: file, dataset: { max_seq_length: 2048 } };
  const id = await measure(bench, "b: 50 MB tokenised", async () => {
    const id = await create(api, request);
    await leaves(api, id, "validating_files");
    return id;
  });
  const { status, error } = await jobOf(api, id);
  console.log(`   it is ${status} ${error === null ? "" : JSON.stringify(error)}`);
  const again = await measure(bench, "b: a second job on that file", async () => {
    const id = await create(api, request);
    await leaves(api, id, "validating_files");
    return id;
  });
  for (const each of [id, again]) await cancel(api, each);
}

async function longQueue(bench: Bench): Promise<void> {
  const { api } = bench;
  const training_file = await upload(api, await Deno.readTextFile(join(ASSETS, "train.jsonl")));
  const createMs: number[] = [];
  const ids: string[] = [];
  await measure(bench, `c: ${QUEUED} jobs created and queued`, async () => {
    for (let count = 0; count < QUEUED; count++) {
      const startedAt = performance.now();
      ids.push(await create(api, { model: "base", training_file, training: { max_steps: 2 } }));
      createMs.push(performance.now() - startedAt);
    }
    await leaves(api, ids.at(-1)!, "validating_files");
  });
  console.log(
    `   ms per creation: p50, p95, max: ${summaryOf(createMs).map((ms) => ms.toFixed(1)).join("  ")}`,
  );
  await measure(bench, `c: with ${QUEUED} in the queue`, () => systemClock.sleep(1000 * bench.seconds));
  for (const id of ids) await cancel(api, id);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      engine: { type: "string", default: "toy" },
      model: { type: "string" },
      seconds: { type: "string", default: "20" },
      only: { type: "string", default: "a,b,c" },
    },
  });
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-load-" });
  let worker: Deno.ChildProcess | null = null;
  const outputs: Promise<unknown>[] = [];
  try {
    const modelFolder = values.model === undefined ? join(folder, "models/wide") : resolve(values.model);
    if (values.model === undefined) await writeWideModel(modelFolder, join(ASSETS, "base"));
    await using coordinator = startCoordinatorChild(`${folder}/data`, [
      "--model-roots",
      dirname(modelFolder),
    ]);
    const joinUrl = await coordinator.joinUrl();
    const natsPort = Number(new URL((await (await fetch(joinUrl)).json()).natsUrl).port);
    const engine = values.engine === "gpu" ? "gpu" : "toy";
    worker = spawnWorkerProcess({
      ...{ name: "worker", joinUrl, natsPort, engine, gradientMs: 50, factorSize: 1024 },
      cacheFolder: `${folder}/worker`,
    });
    outputs.push(toText(worker.stdout), toText(worker.stderr));
    const api = coordinator.api();
    const training = { max_steps: 1_000_000, gradient_accumulation_steps: 2, save_strategy: "no" };
    const running = await submitJob(api, training);
    await until(
      "the first steps",
      async () => (await jobOf(api, running)).step >= 5,
      coordinator.stderr,
      300_000,
    );
    const bench: Bench = { api, running, pid: coordinator.pid, seconds: Number(values.seconds) };
    console.log(
      `deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores; ${engine} worker; the large file's ` +
        `tokenizer: ${basename(modelFolder)}; load average at the start: ${Deno.loadavg()[0]!.toFixed(2)}`,
    );
    console.log(
      `${"".padEnd(34)}seconds  steps/s  asked   /healthz ms: p50, p95, max    MB: coordinator, preparations`,
    );
    const quiet = (name: string) => measure(bench, name, () => systemClock.sleep(1000 * bench.seconds));
    const parts = values.only.split(",");
    await quiet("quiet");
    if (parts.includes("a")) await hugeRow(bench);
    if (parts.includes("b")) await largeFile(bench, basename(modelFolder));
    if (parts.includes("c")) await longQueue(bench);
    await quiet("quiet again");
  } finally {
    probe.terminate();
    worker?.kill("SIGKILL");
    await Promise.all(outputs);
    await Deno.remove(folder, { recursive: true });
  }
}

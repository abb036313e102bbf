/**
 * What users' data costs everybody else: coordinator, broker and a worker are processes; while one job trains, others are
 * submitted, and /healthz is asked again and again.
 *
 *     deno task bench:coordinator-load [--engine toy|gpu] [--model <folder>] [--seconds 20] [--only a,b,c]
 *
 * `--model` names another base model whose tokenizer prepares the large file; without it one of 32,000 tokens is made.
 */
import { parseArgs } from "node:util";
import { basename, dirname, fromFileUrl, join, resolve } from "@std/path";
import { toText } from "@std/streams";
import { systemClock } from "../../shared/clock.ts";
import { spawnWorkerProcess } from "../chaos/worker_child.ts";
import { jobOf, startCoordinatorChild, submitJob, until } from "../integration/coordinator_child.ts";
import { wideRows, writeWideModel } from "./wide_model.ts";
import { exitWithHelp } from "../head_help.ts";

exitWithHelp(import.meta.url);

const ASSETS = join(dirname(dirname(dirname(fromFileUrl(import.meta.url)))), "deploy/demo/assets");
const HUGE = JSON.stringify({ text: "a".repeat(3_000_000) }) + "\n";
const LARGE_BYTES = 50_000_000;
const ROW_BYTES = 1750;
const QUEUED = 300;

interface Bench {
  readonly api: string;
  /** The one that trains. */
  readonly running: string;
  readonly pid: number;
  readonly seconds: number;
}

interface Sample {
  readonly rssMb: number[];
  /** Of all preparations together. */
  readonly childRssMb: number[];
}

const quantile = (values: readonly number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))]!;

/** Does something while health, memory and steps are watched, and prints a line of it. */
async function measure<T>(bench: Bench, name: string, work: () => Promise<T>): Promise<T> {
  const sample: Sample = { rssMb: [], childRssMb: [] };
  let isOver = false;
  const stepBefore = (await jobOf(bench.api, bench.running)).step;
  const startedAt = performance.now();
  const askedHealth = askHealth(bench.api);
  const watching = watchMemory(bench.pid, sample, () => isOver);
  try {
    return await work();
  } finally {
    const seconds = (performance.now() - startedAt) / 1000;
    const steps = (await jobOf(bench.api, bench.running)).step - stepBefore;
    isOver = true;
    await watching;
    const healthMs = await askedHealth();
    const health = [
      quantile(healthMs, 0.5),
      quantile(healthMs, 0.95),
      Math.max(...healthMs),
    ];
    console.log(
      `${name.padEnd(34)}${seconds.toFixed(1).padStart(7)}${(steps / seconds).toFixed(2).padStart(9)}` +
        `${String(healthMs.length).padStart(8)}${health.map((ms) => ms.toFixed(1).padStart(8)).join("")}` +
        `${Math.max(...sample.rssMb).toFixed(0).padStart(8)}${
          Math.max(0, ...sample.childRssMb).toFixed(0).padStart(8)
        }`,
    );
  }
}

const probe = new Worker(new URL("./health_probe.ts", import.meta.url), { type: "module", name: "probe" });

/** Begins to ask; the result gives the milliseconds that each answer took. */
function askHealth(api: string): () => Promise<number[]> {
  probe.postMessage(new URL("/healthz", api).href);
  return () =>
    new Promise((resolve) => {
      probe.onmessage = ({ data }: MessageEvent<number[]>) => resolve(data);
      probe.postMessage(null);
    });
}

async function watchMemory(pid: number, { rssMb, childRssMb }: Sample, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    rssMb.push(await rssOf(pid));
    // Each thread has its own children.
    const threads = await Array.fromAsync(Deno.readDir(`/proc/${pid}/task`));
    const children = (await Promise.all(
      threads.map(({ name }) => Deno.readTextFile(`/proc/${pid}/task/${name}/children`).catch(() => "")),
    )).join(" ");
    const preparations = await Promise.all(
      children.split(" ").filter((child) => child !== "").map(async (child) => {
        const command = await Deno.readTextFile(`/proc/${child}/cmdline`).catch(() => "");
        return command.includes("preparation_process") ? await rssOf(Number(child)) : 0;
      }),
    );
    childRssMb.push(preparations.reduce((sum, rss) => sum + rss, 0));
    await systemClock.sleep(200);
  }
}

async function rssOf(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`).catch(() => "");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1000;
}

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
  const again = await measure(bench, "b: another job on that file", async () => {
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
  const times = [quantile(createMs, 0.5), quantile(createMs, 0.95), Math.max(...createMs)];
  console.log(`   ms a creation: p50, p95, max: ${times.map((ms) => ms.toFixed(1)).join("  ")}`);
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
  const said: Promise<unknown>[] = [];
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
    said.push(toText(worker.stdout), toText(worker.stderr));
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
      `deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores; the worker is a ${engine} one; the large file's ` +
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
    await Promise.all(said);
    await Deno.remove(folder, { recursive: true });
  }
}

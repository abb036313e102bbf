/**
 * The API while a job trains among a crowd: many queued jobs, listeners of events, workers without work, on a real broker.
 *
 *     deno task bench:crowd [--jobs 1000] [--listeners 200] [--workers 500] [--minutes 10]
 *       [--gradient-ms 50] less for more steps a second, so that a short run has a long one's events
 *       [--trace FILE] V8's garbage collections in the coordinator
 *
 * A control process beside the coordinator sleeps and writes to the same disk: its longest delays are the machine's.
 *
 * Exits with 1 if the 95th percentile of all answers is above 100 ms, the coordinator's memory grows by more than a tenth between
 * the first and the last third of the time, or a worker was lost: these do not join again.
 */
import { parseArgs } from "node:util";
import { fromFileUrl } from "@std/path";
import { spawnWorkerProcess } from "../../chaos/worker_child.ts";
import { exitWithHelp } from "../../documents/head_help.ts";
import {
  type CoordinatorChild,
  jobOf,
  startCoordinatorChild,
  submitJob,
  until,
} from "../../integration/coordinator_child.ts";
import { median, summaryOf } from "../statistics.ts";
import type { Answers } from "./api_probe.ts";
import { startControl } from "./control_child.ts";
import { watchMemory } from "./crowd_memory.ts";

exitWithHelp(import.meta.url);

const MOST_P95_MS = 100;
const MOST_GROWTH = 0.1;
/** Workers of one process; more would measure that process. */
const CROWD = 100;
const TRAINING = { max_steps: 1_000_000, gradient_accumulation_steps: 2, save_strategy: "no" };

/** Listens to a job's events until `signal` aborts; counts them. */
async function listen(
  api: string,
  jobId: string,
  signal: AbortSignal,
  count: { events: number },
): Promise<void> {
  const response = await fetch(`${api}/fine_tuning/jobs/${jobId}/events?stream=true`, { signal });
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    count.events += text.split("\ndata:").length - 1;
  }
}

function startCrowd(joinUrl: string, workers: number): Deno.ChildProcess[] {
  const script = fromFileUrl(new URL("crowd_workers.ts", import.meta.url));
  return Array.from({ length: Math.ceil(workers / CROWD) }, (_, index) => {
    const count = String(Math.min(CROWD, workers - index * CROWD));
    const args = ["run", "-A", "-q", "--no-check", script, "--join", joinUrl, "--count", count];
    return new Deno.Command(Deno.execPath(), { args, stdin: "null", stdout: "null" }).spawn();
  });
}

async function workersOf(api: string): Promise<number> {
  const list = await (await fetch(`${api}/workers`)).json();
  return list.data.filter(({ state }: { state: string }) => state !== "lost").length;
}

async function queueJobs(api: string, count: number): Promise<void> {
  const { training_file } = (await (await fetch(`${api}/fine_tuning/jobs?limit=1`)).json()).data[0];
  for (let index = 0; index < count; index++) {
    const body = JSON.stringify({ model: "base", training_file, training: { max_steps: 2 } });
    const response = await fetch(`${api}/fine_tuning/jobs`, {
      ...{ method: "POST", headers: { "content-type": "application/json" }, body },
    });
    if (!response.ok) throw new Error(await response.text());
    await response.body?.cancel();
  }
}

function report(answers: Answers): number {
  const line = (name: string, values: readonly number[]) =>
    `${name.padEnd(58)}${String(values.length).padStart(7)}` +
    summaryOf(values).map((ms) => ms.toFixed(1).padStart(8)).join("");
  console.log(`\n${"".padEnd(58)}  asked  ms: p50     p95     max`);
  for (const [path, values] of Object.entries(answers)) {
    console.log(line(path.replace(/ftjob-\w+/, "…"), values));
  }
  const all = Object.values(answers).flat();
  console.log(line("all", all));
  return summaryOf(all)[1]!;
}

interface Crowd {
  readonly jobs: number;
  readonly listeners: number;
  readonly workers: number;
  readonly minutes: number;
  /** Of the toy engine, for a micro-batch. */
  readonly gradientMs: number;
  /** Where V8's traces go; null: it makes none. */
  readonly trace: string | null;
}

interface Running {
  readonly coordinator: CoordinatorChild;
  readonly api: string;
  /** The job that trains. */
  readonly jobId: string;
  readonly children: Deno.ChildProcess[];
}

async function startTraining(
  coordinator: CoordinatorChild,
  folder: string,
  children: Deno.ChildProcess[],
  gradientMs: number,
) {
  const joinUrl = await coordinator.joinUrl();
  const natsPort = Number(new URL((await (await fetch(joinUrl)).json()).natsUrl).port);
  const trainer = { name: "trainer", joinUrl, natsPort, engine: "toy", gradientMs } as const;
  const child = spawnWorkerProcess({ ...trainer, factorSize: 64, cacheFolder: `${folder}/worker` });
  child.stdout.pipeTo(new WritableStream()).catch(() => {});
  child.stderr.pipeTo(new WritableStream()).catch(() => {});
  children.push(child);
  const api = coordinator.api();
  const jobId = await submitJob(api, TRAINING);
  const isRunning = async () => (await jobOf(api, jobId)).step >= 5;
  await until("the first steps", isRunning, coordinator.stderr, 120_000);
  return { coordinator, api, jobId, children };
}

async function gather({ coordinator, api, children }: Running, { workers, jobs }: Crowd): Promise<void> {
  const joinedAt = performance.now();
  children.push(...startCrowd(await coordinator.joinUrl(), workers));
  await until("the crowd", async () => await workersOf(api) === workers + 1, coordinator.stderr, 300_000);
  console.log(`${workers} workers joined in ${((performance.now() - joinedAt) / 1000).toFixed(0)} s`);
  const queuedAt = performance.now();
  await queueJobs(api, jobs);
  console.log(`${jobs} jobs created in ${((performance.now() - queuedAt) / 1000).toFixed(0)} s`);
  const isPrepared = async () => {
    const { data } = await (await fetch(`${api}/fine_tuning/jobs?limit=1`)).json();
    return data[0].status === "queued";
  };
  await until("their preparation", isPrepared, coordinator.stderr, 600_000);
}

/** Whether the API is as fast and the memory as flat as they should be. */
async function observe(
  { coordinator, api, jobId }: Running,
  minutes: number,
  probe: Worker,
): Promise<boolean> {
  const workersBefore = await workersOf(api);
  const stepOf = async () => (await jobOf(api, jobId)).step;
  const stepBefore = await stepOf();
  const { origin, pathname } = new URL(api);
  const paths = [
    ...["/healthz", "/readyz", `${pathname}/fine_tuning/jobs?limit=20`, `${pathname}/workers`],
    ...[`${pathname}/fine_tuning/jobs/${jobId}`, `${pathname}/fine_tuning/jobs/${jobId}/events?limit=20`],
    ...[`${pathname}/files?limit=20`, "/metrics"],
  ];
  probe.postMessage({ origin, paths });
  const memory = await watchMemory(coordinator.pid, origin, minutes);
  const answers = await new Promise<Answers>((resolve) => {
    probe.onmessage = ({ data }: MessageEvent<Answers>) => resolve(data);
    probe.postMessage(null);
  });
  const p95 = report(answers);
  console.log(
    `\nsteps of the running job: ${((await stepOf() - stepBefore) / minutes / 60).toFixed(1)} a second`,
  );
  const workersAfter = await workersOf(api);
  console.log(`workers: ${workersBefore}, at the end ${workersAfter}`);
  const third = Math.ceil(memory.length / 3);
  const [early, late] = [median(memory.slice(0, third)), median(memory.slice(-third))];
  console.log(`memory: median ${early.toFixed(0)} MB in the first third, ${late.toFixed(0)} MB in the last`);
  return p95 <= MOST_P95_MS && late <= early * (1 + MOST_GROWTH) && workersAfter === workersBefore;
}

async function main(crowd: Crowd): Promise<boolean> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-crowd-" });
  const children: Deno.ChildProcess[] = [];
  const over = new AbortController();
  const probe = new Worker(new URL("./api_probe.ts", import.meta.url), { type: "module" });
  try {
    const { trace } = crowd;
    const runArgs = trace === null ? [] : ["--v8-flags=--trace-gc"];
    await using coordinator = startCoordinatorChild(`${folder}/data`, [], {}, runArgs);
    coordinator.ended.then(({ code }) => {
      if (!over.signal.aborted) {
        console.log(`the coordinator has ended with ${code}:\n${coordinator.stderr()}`);
      }
    });
    const running = await startTraining(coordinator, folder, children, crowd.gradientMs);
    await gather(running, crowd);
    const count = { events: 0 };
    for (let i = 0; i < crowd.listeners; i++) {
      listen(running.api, running.jobId, over.signal, count).catch(() => {});
    }
    const control = startControl(folder);
    const isGood = await observe(running, crowd.minutes, probe);
    console.log(`${count.events} events heard by ${crowd.listeners} listeners`);
    over.abort();
    console.log(await control.report());
    if (trace !== null) await Deno.writeTextFile(trace, coordinator.stdout());
    return isGood;
  } finally {
    over.abort();
    probe.terminate();
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => child.status));
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const text = (value: string) => ({ type: "string", default: value }) as const;
  const options = {
    ...{ jobs: text("1000"), listeners: text("200"), workers: text("500"), minutes: text("10") },
    ...{ "gradient-ms": text("50"), trace: { type: "string" as const } },
  } as const;
  const { values } = parseArgs({ options });
  console.log(
    `deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores; ${values.jobs} queued jobs, ` +
      `${values.listeners} listeners, ${values.workers} idle workers; load average at the start: ` +
      Deno.loadavg()[0]!.toFixed(2),
  );
  const crowd = {
    ...{ jobs: Number(values.jobs), listeners: Number(values.listeners) },
    ...{ workers: Number(values.workers), minutes: Number(values.minutes) },
    ...{ gradientMs: Number(values["gradient-ms"]), trace: values.trace ?? null },
  };
  Deno.exit(await main(crowd) ? 0 : 1);
}

/**
 * A coordinator that prepares a large file and trains on it with a worker that computes next to nothing, watched: time, memory of
 * both processes, answers of /healthz.
 */
import { dirname } from "@std/path";
import { toText } from "@std/streams";
import { systemClock } from "../../../shared/clock.ts";
import { jobOf, startCoordinatorChild, until } from "../../integration/coordinator_child.ts";
import { spawnWorkerProcess } from "../../chaos/worker_child.ts";
import { startControl } from "../coordinator_load/control_child.ts";
import { quantile } from "../statistics.ts";
import { machineMs } from "./gap_recorder.ts";
import { type Phase, tellGaps, withRecorder } from "./gaps.ts";

const PART_BYTES = 32 * 2 ** 20;
/** What the coordinator does with the rows after the preparation is watched as long, and as long what it does without a job. */
const WATCHED_SECONDS = 60;
/** Of a file that is no large one. */
const BRIEFLY_SECONDS = 15;
const LARGE_BYTES = 5e8;
const SLOW_MS = 100;
const PATIENCE_MS = 3 * 3_600_000;

export async function prepareLargeFile(
  path: string,
  dataFolder: string,
  modelRoot: string,
  model: string,
  threads: number,
  looksForGaps: boolean,
): Promise<void> {
  await using ended = new AsyncDisposableStack();
  const recorder = withRecorder(dirname(dataFolder));
  const args = [
    ...["--model-roots", modelRoot, "--max-upload-mib", "4096"],
    ...["--preparation-threads", String(threads)],
  ];
  await using coordinator = looksForGaps
    ? startCoordinatorChild(dataFolder, args, recorder.env, recorder.runArgs)
    : startCoordinatorChild(dataFolder, args);
  const joinUrl = await coordinator.joinUrl();
  const api = coordinator.api();
  const control = looksForGaps ? startControl(dirname(dataFolder)) : null;
  const watch = startWatch(api, coordinator.pid);
  const { size } = await Deno.stat(path);
  const seconds = size < LARGE_BYTES ? BRIEFLY_SECONDS : WATCHED_SECONDS;
  await watch.during("nothing, for comparison", null, () => systemClock.sleep(1000 * seconds));
  const training_file = await watch.during("the upload, in parts", size, () => upload(api, path, size));
  const id = await watch.during("the preparation", size, async () => {
    const dataset = { max_seq_length: 2048, truncation: "truncate" };
    const training = { gradient_accumulation_steps: 8, save_strategy: "no" };
    const job = await post(`${api}/fine_tuning/jobs`, { model, training_file, dataset, training });
    const isOver = async () => (await jobOf(api, job.id)).status !== "validating_files";
    await until("the end of the preparation", isOver, coordinator.stderr, PATIENCE_MS);
    return job.id;
  });
  await watch.during("until its first step", null, async () => {
    const natsPort = Number(new URL((await (await fetch(joinUrl)).json()).natsUrl).port);
    const worker = spawnWorkerProcess({
      ...{ name: "worker", joinUrl, natsPort, engine: "toy", gradientMs: 20, factorSize: 1024 },
      cacheFolder: `${dataFolder}-worker`,
    });
    const outputs = [toText(worker.stdout), toText(worker.stderr)];
    ended.defer(async () => {
      worker.kill("SIGKILL");
      await Promise.all(outputs);
    });
    await until(
      "the first step",
      async () => (await jobOf(api, id)).step > 0,
      coordinator.stderr,
      PATIENCE_MS,
    );
  });
  await watch.during(
    `${seconds} s of its training`,
    null,
    () => systemClock.sleep(1000 * seconds),
  );
  await tellOutcome(api, id);
  await watch.end();
  if (control === null) return;
  tellGaps(await recorder.report(coordinator), watch.phases);
  console.log(await control.report());
}

/** What has become of the job, and what its preparation said of the rows. */
async function tellOutcome(api: string, id: string): Promise<void> {
  const { status, error, step } = await jobOf(api, id);
  console.log(`the job is ${status}, step ${step} ${error === null ? "" : JSON.stringify(error)}`);
  const { data } = await (await fetch(`${api}/fine_tuning/jobs/${id}/events?limit=100`)).json();
  for (
    const { message } of data.toReversed().filter(({ message }: { message: string }) =>
      /rows of up|were cut/.test(message)
    )
  ) {
    console.log(`  ${message}`);
  }
}

async function upload(api: string, path: string, bytes: number): Promise<string> {
  const request = { bytes, filename: "rows.jsonl", mime_type: "application/jsonl", purpose: "fine-tune" };
  const { id } = await post(`${api}/uploads`, request);
  using file = await Deno.open(path);
  const part_ids: string[] = [];
  for (let at = 0; at < bytes;) {
    const part = new Uint8Array(Math.min(PART_BYTES, bytes - at));
    for (let read = 0; read < part.length;) read += await file.read(part.subarray(read)) ?? 0;
    const form = new FormData();
    form.append("data", new File([part], "part"));
    const response = await fetch(`${api}/uploads/${id}/parts`, { method: "POST", body: form });
    part_ids.push((await response.json()).id);
    at += part.length;
  }
  return (await post(`${api}/uploads/${id}/complete`, { part_ids })).file.id;
}

async function post(url: string, body: object) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  const json = await response.json();
  if (response.status !== 200) throw new Error(JSON.stringify(json));
  return json;
}

/** Asks /healthz every 20 ms in a thread of its own, and reads the resident memory five times a second. */
function startWatch(api: string, pid: number) {
  const probe = new Worker(new URL("../coordinator_load/health_probe.ts", import.meta.url), {
    type: "module",
  });
  console.log(
    `${
      "".padEnd(24)
    }  seconds    MB/s   asked   /healthz ms: p50, p95, p99.9, max; over 100 ms      MB at most: coordinator, preparation`,
  );
  const phases: Phase[] = [];
  return {
    phases,
    async during<T>(name: string, bytes: number | null, work: () => Promise<T>): Promise<T> {
      const peaks = { coordinator: 0, preparation: 0 };
      const over = new AbortController();
      const watching = watchMemory(pid, peaks, over.signal);
      probe.postMessage(new URL("/healthz", api).href);
      const from = machineMs();
      try {
        return await work();
      } finally {
        const to = machineMs();
        phases.push({ name, from, to });
        const seconds = (to - from) / 1000;
        over.abort();
        await watching;
        const times = await new Promise<number[]>((resolve) => {
          probe.onmessage = ({ data }) => resolve(data);
          probe.postMessage(null);
        });
        const cells = [
          seconds.toFixed(1).padStart(9),
          (bytes === null ? "" : (bytes / 1e6 / seconds).toFixed(2)).padStart(8),
          String(times.length).padStart(8),
          ...[quantile(times, 0.5), quantile(times, 0.95), quantile(times, 0.999), Math.max(...times)].map((
            ms,
          ) => ms.toFixed(1).padStart(9)),
          String(times.filter((ms) => ms > SLOW_MS).length).padStart(6),
          peaks.coordinator.toFixed(0).padStart(18),
          peaks.preparation.toFixed(0).padStart(13),
        ];
        console.log(name.padEnd(24) + cells.join(""));
      }
    },
    end: () => Promise.resolve(probe.terminate()),
  };
}

async function watchMemory(
  pid: number,
  peaks: { coordinator: number; preparation: number },
  over: AbortSignal,
): Promise<void> {
  while (!over.aborted) {
    peaks.coordinator = Math.max(peaks.coordinator, await rssOf(pid));
    for await (const { name } of Deno.readDir(`/proc/${pid}/task`)) {
      const children = await Deno.readTextFile(`/proc/${pid}/task/${name}/children`).catch(() => "");
      for (const child of children.trim().split(" ").filter((child) => child !== "")) {
        const command = await Deno.readTextFile(`/proc/${child}/cmdline`).catch(() => "");
        if (!command.includes("preparation_process")) continue;
        peaks.preparation = Math.max(peaks.preparation, await rssOf(Number(child)));
      }
    }
    await systemClock.sleep(200);
  }
}

async function rssOf(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`).catch(() => "");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1000;
}

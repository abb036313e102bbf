/** Watches a coordinator while some work runs: /healthz, the steps of a training job, memory. */
import { systemClock } from "../../../shared/clock.ts";
import { jobOf } from "../../integration/coordinator_child.ts";
import { summaryOf } from "../statistics.ts";
import { rssOf } from "./rss.ts";

export interface Bench {
  readonly api: string;
  /** The training job. */
  readonly running: string;
  readonly pid: number;
  readonly seconds: number;
}

interface Sample {
  readonly rssMb: number[];
  /** All preparations together. */
  readonly childRssMb: number[];
}

/** Runs `work` while health, memory and steps are watched, and prints one line. */
export async function measure<T>(bench: Bench, name: string, work: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const sample: Sample = { rssMb: [], childRssMb: [] };
  const stepBefore = (await jobOf(bench.api, bench.running)).step;
  const startedAt = performance.now();
  const askedHealth = askHealth(bench.api);
  const watching = watchMemory(bench.pid, sample, over.signal);
  try {
    return await work();
  } finally {
    const seconds = (performance.now() - startedAt) / 1000;
    const steps = (await jobOf(bench.api, bench.running)).step - stepBefore;
    over.abort();
    await watching;
    const healthMs = await askedHealth();
    const cells = [
      seconds.toFixed(1).padStart(7),
      (steps / seconds).toFixed(2).padStart(9),
      String(healthMs.length).padStart(8),
      ...summaryOf(healthMs).map((ms) => ms.toFixed(1).padStart(8)),
      Math.max(...sample.rssMb).toFixed(0).padStart(8),
      Math.max(0, ...sample.childRssMb).toFixed(0).padStart(8),
    ];
    console.log(name.padEnd(34) + cells.join(""));
  }
}

export const probe = new Worker(new URL("./health_probe.ts", import.meta.url), {
  type: "module",
  name: "probe",
});

/** Starts polling /healthz; the returned function stops and resolves to the milliseconds of each answer. */
function askHealth(api: string): () => Promise<number[]> {
  probe.postMessage(new URL("/healthz", api).href);
  return () =>
    new Promise((resolve) => {
      probe.onmessage = ({ data }: MessageEvent<number[]>) => resolve(data);
      probe.postMessage(null);
    });
}

async function watchMemory(pid: number, { rssMb, childRssMb }: Sample, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
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

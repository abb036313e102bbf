/**
 * The cost of a step besides computing: coordinator, broker and workers are processes, and the model is a toy whose
 * gradient takes almost no time, so that a step is the fleet's own work: queue, claims, all-reduce, digests, the commit log.
 *
 *     deno task bench:overhead [--workers 1,2,4] [--micro-batches 2,8] [--steps 200]
 *
 * The time of the toy's arithmetic is measured too: subtract it.
 */
import { parseArgs } from "node:util";
import { toText } from "@std/streams";
import { systemClock } from "../../shared/clock.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { createToyEngine } from "../../worker/testing/toy_engine.ts";
import { spawnWorkerProcess } from "../chaos/worker_child.ts";
import { jobOf, startCoordinatorChild, submitJob, until } from "../integration/coordinator_child.ts";
import { median, quantile } from "./statistics.ts";
import { exitWithHelp } from "../documents/head_help.ts";

exitWithHelp(import.meta.url);

/** 8 KiB of gradient. */
const FACTOR_SIZE = 1024;
/** The first steps compile code and fill caches. */
const WARM_UP_STEPS = 20;
const TOKENS = 64;

interface Cell {
  readonly workers: number;
  readonly microBatches: number;
  /** Each step after the warm-up, in milliseconds. */
  readonly stepMs: readonly number[];
}

async function measure(workers: number, microBatches: number, steps: number): Promise<Cell> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-overhead-" });
  const children: { readonly child: Deno.ChildProcess; readonly output: Promise<string[]> }[] = [];
  try {
    await using coordinator = startCoordinatorChild(`${folder}/data`);
    const joinUrl = await coordinator.joinUrl();
    const natsPort = Number(new URL((await (await fetch(joinUrl)).json()).natsUrl).port);
    for (let index = 0; index < workers; index++) {
      const name = `worker-${index + 1}`;
      const child = spawnWorkerProcess({
        ...{ name, joinUrl, natsPort, engine: "toy", gradientMs: 0, factorSize: FACTOR_SIZE },
        cacheFolder: `${folder}/${name}`,
      });
      children.push({ child, output: Promise.all([toText(child.stdout), toText(child.stderr)]) });
    }
    const api = coordinator.api();
    const present = async () => (await (await fetch(`${api}/workers`)).json()).data.length;
    await until("the workers", async () => await present() === workers);
    const id = await submitJob(api, {
      max_steps: steps + WARM_UP_STEPS,
      gradient_accumulation_steps: microBatches,
      logging_steps: 1,
      save_strategy: "no",
    });
    await until(
      "the job's end",
      async () => (await jobOf(api, id)).status === "succeeded",
      coordinator.stderr,
    );
    return { workers, microBatches, stepMs: (await stepTimes(api, id)).slice(WARM_UP_STEPS) };
  } finally {
    for (const { child } of children) child.kill("SIGKILL");
    await Promise.all(children.map(({ child, output }) => Promise.all([output, child.status])));
    await Deno.remove(folder, { recursive: true });
  }
}

/** Milliseconds of each step, in order. */
async function stepTimes(api: string, id: string): Promise<number[]> {
  const page = await (await fetch(`${api}/fine_tuning/jobs/${id}/events?limit=1000`)).json();
  const metrics = page.data.filter(({ type }: { type: string }) => type === "metrics");
  return metrics.map(({ data }: { data: { step_seconds: number } }) => 1000 * data.step_seconds).reverse();
}

/** Milliseconds of one micro-batch on the toy. */
async function arithmeticMs(): Promise<number> {
  const engine = createToyEngine({ clock: systemClock, factorSize: FACTOR_SIZE });
  const lora = { r: 4, alpha: 8, dropout: 0, target_modules: ["q_proj"] } as never;
  await engine.load({
    ...{ modelFolder: "", lora, seed: 1, doubleQuantization: true, gradientCheckpointing: true },
    ...{ maxTokensPerMicroBatch: TOKENS, maxPositions: TOKENS, allowCpu: true, memoryBudgetBytes: null },
  });
  const tokens = Uint32Array.from({ length: TOKENS }, (_, index) => index);
  const batch: MicroBatch = {
    ...{ tokens, labels: Int32Array.from(tokens), positions: tokens },
    segmentStarts: new Uint32Array(TOKENS),
  };
  const times = [];
  for (let trial = 0; trial < 100; trial++) {
    const startedAt = performance.now();
    await engine.computeGradient(batch, trial);
    await engine.accumulate(Int8Array.of(-20, -20));
    times.push(performance.now() - startedAt);
  }
  await engine.close();
  return median(times);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      workers: { type: "string", default: "1,2,4" },
      "micro-batches": { type: "string", default: "2,8" },
      steps: { type: "string", default: "200" },
    },
  });
  const list = (text: string) => text.split(",").map(Number);
  console.log(
    `deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, ${values.steps} steps per cell`,
  );
  console.log(`a micro-batch's own arithmetic: ${(await arithmeticMs()).toFixed(2)} ms`);
  console.log("workers  micro-batches  ms per step: median   90 %   longest");
  for (const workers of list(values.workers)) {
    for (const microBatches of list(values["micro-batches"])) {
      const { stepMs } = await measure(workers, microBatches, Number(values.steps));
      const cells = [median(stepMs), quantile(stepMs, 0.9), Math.max(...stepMs)];
      console.log(
        `${String(workers).padStart(7)}${String(microBatches).padStart(15)}            ` +
          cells.map((ms) => ms.toFixed(1).padStart(7)).join(""),
      );
    }
  }
}

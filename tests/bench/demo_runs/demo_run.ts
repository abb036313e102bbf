/** Runs of the demo's job with one thing changed, to compare loss and bytes. */
import { dirname, join } from "@std/path";
import type { Job, JobEvent } from "../../../deploy/client/api_client.ts";
import { downloadAdapter, sha256Hex } from "../../../deploy/client/result_files.ts";
import { Children } from "../../../deploy/machine/children.ts";
import { evaluate, type Score } from "../../../deploy/machine/evaluation.ts";
import { repositoryRoot, startFleet } from "../../../deploy/machine/fleet.ts";
import { type DemoOptions, jobRequest, maxNewTokens } from "../../../deploy/demo/options.ts";
import { systemClock } from "../../../shared/clock.ts";

export interface Run {
  readonly name: string;
  readonly change: Record<string, unknown>;
  /** Fields of the job's group `training`. */
  readonly training?: Record<string, unknown>;
}

export interface Trained {
  readonly name: string;
  readonly gpuNames: readonly string[];
  /** One entry per committed step; `dataStep` is the last data step in it, the step itself without local steps. */
  readonly losses: readonly { readonly loss: number; readonly dataStep: number }[];
  readonly gradientBytes: number;
  readonly heldOutLoss: number;
  readonly exactMatch: number;
}

const assets = join(repositoryRoot, "deploy/demo/assets");

export function demoOptions(workerCount: number, maxSteps: number): DemoOptions {
  return {
    modelFolder: join(assets, "base"),
    datasetPath: join(assets, "train.jsonl"),
    evalDatasetPath: join(assets, "held_out.jsonl"),
    workerCount,
    maxSteps,
    outFolder: "",
    ignoreGpu: false,
    ownModel: false,
    ownDataset: false,
  };
}

type Fleet = Awaited<ReturnType<typeof startFleet>>;

interface Machine {
  readonly fleet: Fleet;
  readonly folder: string;
  readonly children: Children;
  readonly env: Record<string, string>;
}

/** Calls `onSignal` when this process is asked to end; dispose of it to end as usual. */
export function whenAsked(onSignal: () => void): Disposable {
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, onSignal);
  return {
    [Symbol.dispose]: () => signals.forEach((signal) => Deno.removeSignalListener(signal, onSignal)),
  };
}

/** Starts a fleet for as long as the body runs, and ends it when this process is asked to end. */
async function withFleet<T>(
  options: DemoOptions,
  body: (machine: Machine) => Promise<T>,
  checkout = repositoryRoot,
): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-bench-" });
  const logFolder = join(folder, "logs");
  await Deno.mkdir(logFolder);
  const children = new Children(logFolder, systemClock);
  const stopper = new AbortController();
  const env = Deno.env.toObject();
  using _ = whenAsked(() => {
    stopper.abort();
    children.close();
  });
  try {
    const fleet = await startFleet({
      ...{ children, env, clock: systemClock, signal: stopper.signal, workerCount: options.workerCount },
      dataFolder: join(folder, "coordinator"),
      modelRoot: dirname(options.modelFolder),
      ...{ ignoreGpu: options.ignoreGpu, checkout },
      onWorkerLost: (message) => console.error(message),
    });
    return await body({ fleet, folder, children, env });
  } finally {
    stopper.abort();
    await children.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** @param training job fields that all runs of a comparison share */
async function runJob(
  { api }: Fleet,
  { change, training: own = {} }: Run,
  options: DemoOptions,
  training: Record<string, unknown>,
) {
  const file = await api.uploadDataset(options.datasetPath, "train.jsonl");
  const request = jobRequest(options, file.id);
  const { id } = await api.createJob({
    ...{ ...request, training: { ...request["training"] as object, ...training, ...own } },
    ...change,
  });
  const losses: Trained["losses"][number][] = [];
  let gradientBytes = 0;
  for await (const event of api.events(id)) {
    if (event.kind === "metrics") {
      const { metrics } = event;
      losses.push({ loss: metrics.train_loss, dataStep: metrics.data_step ?? metrics.step });
      gradientBytes = event.metrics.gradient_bytes_sent;
    } else if (event.level !== "info") console.error(event.message);
  }
  return { job: await api.job(id), losses, gradientBytes };
}

export interface Watched {
  readonly job: Job;
  /** SHA-256 of adapter_model.safetensors; null if the job has not succeeded. */
  readonly adapterSha256: string | null;
  /** Null without held-out rows, or if the job has not succeeded. */
  readonly score: Score | null;
}

/**
 * Trains once and gives each of the job's events as it comes. The held-out rows of `options` are scored by this repository's
 * code, whosever trained.
 * @param checkout whose coordinator and workers train
 */
export async function watchRun(
  { change, training }: Run,
  options: DemoOptions,
  onEvent: (event: JobEvent) => void,
  checkout?: string,
): Promise<Watched> {
  return await withFleet(options, async (machine) => {
    const { api } = machine.fleet;
    const file = await api.uploadDataset(options.datasetPath, "train.jsonl");
    const request = jobRequest(options, file.id);
    const merged = { ...request["training"] as object, ...training };
    const { id } = await api.createJob({ ...request, training: merged, ...change });
    for await (const event of api.events(id)) onEvent(event);
    const job = await api.job(id);
    if (job.status !== "succeeded") return { job, adapterSha256: null, score: null };
    const adapter = await downloadAdapter(api, job);
    await machine.fleet.stop();
    const adapterSha256 = await sha256Hex(adapter.get("adapter_model.safetensors")!);
    const isScored = options.evalDatasetPath !== null;
    return { job, adapterSha256, score: isScored ? await scoreOf(adapter, options, machine) : null };
  }, checkout);
}

async function scoreOf(
  adapter: ReadonlyMap<string, Uint8Array>,
  options: DemoOptions,
  { folder, children, env }: Machine,
): Promise<Score> {
  const adapterFolder = join(folder, "adapter");
  await Deno.mkdir(adapterFolder);
  for (const [name, bytes] of adapter) await Deno.writeFile(join(adapterFolder, name), bytes);
  return await evaluate(children, {
    ...{ name: "evaluate", script: join(repositoryRoot, "worker/evaluate/main.ts"), adapterFolder },
    ...{ modelFolder: options.modelFolder, datasetPath: options.evalDatasetPath! },
    ...{ maxNewTokens: maxNewTokens(options), ignoreGpu: options.ignoreGpu },
    resultPath: join(folder, "score.json"),
  }, env);
}

/** The losses of several runs on one fleet, each until its end, whatever that is. */
export async function lossesOf(
  runs: readonly Run[],
  options: DemoOptions,
  training: Record<string, unknown>,
  report: (run: Run, losses: readonly number[], outcome: string) => void,
): Promise<void> {
  await withFleet(options, async ({ fleet }) => {
    for (const run of runs) {
      const { job, losses } = await runJob(fleet, run, options, training);
      const outcome = job.error === null ? job.status : `${job.status}: ${job.error?.message}`;
      report(run, losses.map(({ loss }) => loss), outcome);
    }
    await fleet.stop();
  });
}

/**
 * Starts a fleet, trains and scores the adapter.
 * @param training job fields that all runs of a comparison share
 */
export async function train(
  run: Run,
  options: DemoOptions,
  training: Record<string, unknown> = {},
): Promise<Trained> {
  const { name } = run;
  return await withFleet(options, async (machine) => {
    const { fleet } = machine;
    const { job, losses, gradientBytes } = await runJob(fleet, run, options, training);
    if (job.status !== "succeeded") {
      throw new Error(`training ${name} failed: the job ended as ${job.status}: ${job.error?.message}`);
    }
    const adapter = await downloadAdapter(fleet.api, job);
    await fleet.stop();
    const score = await scoreOf(adapter, options, machine);
    const heldOut = { heldOutLoss: score.eval_loss ?? NaN, exactMatch: score.exact_match };
    return { name, gpuNames: fleet.gpuNames, losses, gradientBytes, ...heldOut };
  });
}

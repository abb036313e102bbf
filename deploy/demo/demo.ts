/** The demo from its first child process to its results; main.ts gives it a terminal, signals and an exit code. */
import { basename, dirname, join } from "@std/path";
import type { Clock } from "../../shared/clock.ts";
import { counted } from "../../shared/counted.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { ensureSetup } from "../setup/ensure.ts";
import { runtimeFolderVariables } from "../setup/runtime_folder.ts";
import type { ApiClient, Job, StepMetrics } from "../client/api_client.ts";
import type { Children } from "../machine/children.ts";
import { childEnvironment } from "../machine/environment.ts";
import { evaluate } from "../machine/evaluation.ts";
import { repositoryRoot, startFleet } from "../machine/fleet.ts";
import { setRowsAside } from "./held_out.ts";
import { type DemoOptions, jobRequest, maxNewTokens } from "./options.ts";
import type { Progress } from "../terminal/progress.ts";
import { checkOutFolder, type Report, writeResults } from "./report.ts";
import { downloadAdapter, sha256Hex } from "../client/result_files.ts";
import type { Sample } from "../terminal/samples.ts";

interface DemoContext {
  readonly children: Children;
  readonly clock: Clock;
  /** For everything but the results; the caller removes it. */
  readonly workFolder: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** In milliseconds since 1970. */
  readonly startedAt: number;
}

interface DemoResult {
  readonly report: Report;
  readonly baseSamples: readonly Sample[];
  readonly tunedSamples: readonly Sample[];
}

/** Trains, evaluates and writes the results. If it throws, its children may still be running. */
export async function runDemo(options: DemoOptions, context: DemoContext): Promise<DemoResult> {
  const { children, clock, workFolder, progress, signal } = context;
  await checkInputs(options);
  await checkOutFolder(options.outFolder);
  const { natsServerPath, gpuName } = await ensureSetup({ log: progress.note, ignoreGpu: options.ignoreGpu });
  signal.throwIfAborted();
  const env = {
    ...childEnvironment(Deno.env.toObject(), natsServerPath),
    ...await runtimeFolderVariables(Deno.env.get("XDG_RUNTIME_DIR"), join(workFolder, "runtime")),
  };
  const data = await prepareDataset(options, workFolder);

  progress.note(`starting a coordinator and ${counted(options.workerCount, "worker")}; GPU: ${gpuName}`);
  const fleet = await startFleet({
    ...{ children, clock, env, signal },
    dataFolder: join(workFolder, "coordinator"),
    modelRoot: dirname(options.modelFolder),
    workerCount: options.workerCount,
    ignoreGpu: options.ignoreGpu,
    onWorkerLost: (message) => progress.note(message),
  });
  progress.note(`all workers have joined: ${fleet.gpuNames.join(", ")}; submitting the job`);
  const training = train(fleet.api, options, data.trainPath, progress);
  training.catch(() => {});
  const { job, metrics, adapterFiles } = await Promise.race([training, fleet.broken]);
  await fleet.stop();
  signal.throwIfAborted();

  progress.note("answering the held-out prompts with the base and the tuned model");
  const adapterFolder = join(workFolder, "adapter");
  await Deno.mkdir(adapterFolder);
  for (const [name, bytes] of adapterFiles) await Deno.writeFile(join(adapterFolder, name), bytes);
  const evaluateModel = (name: string, adapter: string | null) =>
    evaluate(children, {
      name: `evaluate-${name}`,
      script: join(repositoryRoot, "worker/evaluate/main.ts"),
      modelFolder: options.modelFolder,
      adapterFolder: adapter,
      datasetPath: data.heldOutPath,
      maxNewTokens: maxNewTokens(options),
      resultPath: join(workFolder, `${name}.json`),
      ignoreGpu: options.ignoreGpu,
    }, env);
  const [base, tuned] = await Promise.all([
    evaluateModel("base", null),
    evaluateModel("tuned", adapterFolder),
  ]);
  signal.throwIfAborted();

  const { samples: baseSamples, ...baseScore } = base;
  const { samples: tunedSamples, ...tunedScore } = tuned;
  const report: Report = {
    workers: Math.max(...metrics.map((step) => step.workers)),
    steps: job.step,
    trained_tokens: job.trained_tokens ?? 0,
    gradient_bytes_sent: metrics.at(-1)!.gradient_bytes_sent,
    wall_seconds: Math.round((clock.now() - context.startedAt) / 100) / 10,
    adapter_sha256: await sha256Hex(adapterFiles.get("adapter_model.safetensors")!),
    base: baseScore,
    tuned: tunedScore,
  };
  await writeResults(options.outFolder, adapterFiles, report);
  return { report, baseSamples, tunedSamples };
}

/** Refuses what the coordinator would, before anything is started. */
async function checkInputs(options: DemoOptions): Promise<void> {
  const config = await Deno.stat(join(options.modelFolder, "config.json")).catch(() => null);
  if (config === null) {
    const message = `--model ${quote(options.modelFolder)} is not a folder with a config.json: name a base ` +
      "model in Hugging Face layout";
    throw new LoraFleetError("usage", message);
  }
  const datasets = { dataset: options.datasetPath, "eval-dataset": options.evalDatasetPath };
  for (const [option, path] of Object.entries(datasets)) {
    if (path === null) continue;
    await Deno.readTextFile(path).catch((error) => {
      throw new LoraFleetError("usage", `--${option} ${quote(path)} cannot be read: ${messageOf(error)}`);
    });
  }
}

async function prepareDataset(
  options: DemoOptions,
  folder: string,
): Promise<{ trainPath: string; heldOutPath: string }> {
  const { datasetPath, evalDatasetPath } = options;
  if (evalDatasetPath !== null) return { trainPath: datasetPath, heldOutPath: evalDatasetPath };
  const { train, heldOut } = setRowsAside(await Deno.readTextFile(datasetPath), datasetPath);
  const [trainPath, heldOutPath] = [join(folder, basename(datasetPath)), join(folder, "held-out.jsonl")];
  await Deno.writeTextFile(trainPath, train);
  await Deno.writeTextFile(heldOutPath, heldOut);
  return { trainPath, heldOutPath };
}

interface Training {
  readonly job: Job;
  readonly metrics: readonly StepMetrics[];
  readonly adapterFiles: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/** Submits the job, follows it to its end and downloads the adapter. */
async function train(
  api: ApiClient,
  options: DemoOptions,
  trainPath: string,
  progress: Progress,
): Promise<Training> {
  const file = await api.uploadDataset(trainPath, basename(trainPath));
  const { id } = await api.createJob(jobRequest(options, file.id));
  const metrics: StepMetrics[] = [];
  for await (const event of api.events(id)) {
    if (event.kind === "metrics") {
      metrics.push(event.metrics);
      progress.step(event.metrics);
    } else {
      progress.note(event.level === "info" ? event.message : `${event.level}: ${event.message}`);
    }
  }
  progress.stop();
  const job = await api.job(id);
  if (job.status !== "succeeded") {
    const message = `the job has ${job.status}: ${job.error?.message ?? "no reason was given"}`;
    throw new LoraFleetError("aborted", message);
  }
  return { job, metrics, adapterFiles: await downloadAdapter(api, job) };
}

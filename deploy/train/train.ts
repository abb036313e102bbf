/** A fine-tune from the command line to its results; main.ts gives it a terminal, signals and an exit code. */
import { basename, dirname, join, resolve } from "@std/path";
import type { Clock } from "../../shared/clock.ts";
import { counted } from "../../shared/counted.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { ApiClient, type Job } from "../client/api_client.ts";
import { patiently } from "../client/reconnection.ts";
import { downloadAdapter } from "../client/result_files.ts";
import { openRepo } from "../../shared/hub/download_repo.ts";
import { readHubSettings } from "../../shared/hub/hub_settings.ts";
import { parseHubName } from "../../shared/hub/repo_name.ts";
import type { Children } from "../machine/children.ts";
import { childEnvironment } from "../machine/environment.ts";
import { evaluate } from "../machine/evaluation.ts";
import { repositoryRoot, startFleet } from "../machine/fleet.ts";
import { hasEnded } from "../machine/processes.ts";
import { ensureSetup } from "../setup/ensure.ts";
import { runtimeFolderVariables } from "../setup/runtime_folder.ts";
import type { Progress } from "../terminal/progress.ts";
import { formatSamples, formatScores } from "../terminal/samples.ts";
import { type FurtherResults, JobExports, writeExports } from "./exports.ts";
import { checkResults, checkRows, contentOf, isFile } from "./first_checks.ts";
import { evaluationOf, type JobBody, jobBody } from "./job_body.ts";
import type { TrainOptions } from "./options.ts";
import { withTrackers } from "./tracker_flags.ts";
import { undelivered } from "./undelivered.ts";
import { runJob } from "./run_job.ts";
import { checkExports, checkExportsThere } from "./possible_exports.ts";
import { hashOf, openRunState, type RunState } from "./run_state.ts";

export interface TrainContext {
  readonly children: Children;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly apiKey: string | null;
}

/** Coordinator and workers, our own or running ones. */
interface Connection {
  readonly api: ApiClient;
  /** Rejects when our own fleet ends; never resolves. */
  readonly broken: Promise<never>;
  readonly env: Record<string, string> | null;
}

const SAMPLE_COUNT = 8;
const MAX_NEW_TOKENS = 64;

/** Trains and writes the results. The same options resume an interrupted run, and try again what failed after the training. */
export async function train(
  options: TrainOptions,
  context: TrainContext,
): Promise<FurtherResults & { job: Job }> {
  const { progress } = context;
  const model = await localFolder(options.model) ?? options.model;
  const body = withTrackers(await jobBody(options, model), options.trackers);
  await checkRows(options);
  await checkResults(options, hubSettings());
  await checkExports(options.exports, await localFolder(options.model));
  const { data, validationPath } = options;
  const contents = [await contentOf(data), await contentOf(validationPath)];
  const asked = hashOf({ body, data, validation: validationPath, contents });
  using state = await openRunState(options.outFolder, { asked, ...options });
  const connection = await connect(options, context, state);
  const { api, broken, env } = connection;
  const upload = () => uploaded(options, api, progress);
  const stopFleet = () => context.children.stopAll();
  const folder = await localFolder(options.model);
  const admit = async (request: JobBody) => {
    if (folder === null) await checkExportsThere(options.exports, api, request);
  };
  const running = runJob({
    ...context,
    ...{ api, state, body, upload, admit, stopFleet },
    outFolder: options.outFolder,
  });
  const job = await Promise.race([running, broken]);
  progress.note(`downloading the adapter into ${options.outFolder}`);
  const files = await patiently(context.clock, context.signal, () => downloadAdapter(api, job));
  await writeAdapter(options.outFolder, files);
  const exports = new JobExports(api, job.id, context.clock, context.signal);
  const further = await Promise.race([writeExports(options, exports, progress.note, context.signal), broken]);
  const owed = env === null
    ? []
    : await undelivered(join(state.folder, "coordinator/trackers"), job.id, context.clock, context.signal);
  if (validationPath !== null && env !== null) {
    await context.children.stopAll();
    await compare(options, context, state, body, env);
  } else if (validationPath !== null) {
    progress.note(
      "base and tuned model are not compared here with --join-existing; deno task evaluate does it",
    );
  }
  await context.children.stopAll();
  if (owed.length > 0) {
    const what = `${owed.join(" and ")} ${owed.length === 1 ? "has" : "have"} not got all points of the run`;
    progress.note(`warning: ${what}; they are kept in ${state.folder}, and the same command sends them`);
  } else if (further.failure === null) await state.forget();
  return { ...further, job };
}

async function connect(options: TrainOptions, context: TrainContext, state: RunState): Promise<Connection> {
  const { children, clock, progress, signal, apiKey } = context;
  const { coordinatorUrl, workerCount, ignoreGpu } = options;
  if (coordinatorUrl !== null) {
    const api = new ApiClient(coordinatorUrl, signal, apiKey);
    const { length } = await api.workers();
    progress.note(`${coordinatorUrl} has ${counted(length, "worker")}`);
    return { api, broken: new Promise<never>(() => {}), env: null };
  }
  const { natsServerPath, gpuName } = await ensureSetup({ log: progress.note, ignoreGpu });
  signal.throwIfAborted();
  const env: Record<string, string> = {
    // The coordinator's own folder is gone in the end.
    TENSORBOARD_LOGGING_DIR: join(options.outFolder, "runs"),
    ...childEnvironment(Deno.env.toObject(), natsServerPath),
    ...await runtimeFolderVariables(Deno.env.get("XDG_RUNTIME_DIR"), join(state.folder, "runtime")),
  };
  progress.note(`starting a coordinator and ${counted(workerCount, "worker")}; GPU: ${gpuName}`);
  const folder = await localFolder(options.model);
  const areWorkersGone = state.workers?.every(hasEnded) ?? false;
  await state.update({ workers: null });
  const fleet = await startFleet({
    ...{ children, clock, env, signal, workerCount, ignoreGpu, areWorkersGone },
    dataFolder: join(state.folder, "coordinator"),
    modelRoot: folder === null ? null : dirname(folder),
    onWorkerLost: (message) => progress.note(message),
  });
  await state.update({ workers: [...fleet.workerPids] });
  return { api: fleet.api, broken: fleet.broken, env };
}

/** The job's fields for its rows: uploaded files, or a dataset on the hub. */
export async function uploaded(
  { data, validationPath }: Pick<TrainOptions, "data" | "validationPath">,
  api: ApiClient,
  progress: Pick<Progress, "note">,
): Promise<JobBody> {
  const upload = async (path: string) => {
    progress.note(`uploading ${path}`);
    return (await api.uploadDataset(path, basename(path))).id;
  };
  const rows = await isFile(data)
    ? { training_file: await upload(resolve(data)) }
    : { dataset: hubDataset(data) };
  return validationPath === null ? rows : { ...rows, validation_file: await upload(validationPath) };
}

function hubDataset(data: string): JobBody {
  const [path, revision] = data.split("@");
  return revision === undefined ? { path } : { path, revision };
}

/** The folder of a base model on this machine; null for a hub id. */
export async function localFolder(model: string): Promise<string | null> {
  const folder = resolve(model);
  return await isFile(join(folder, "config.json")) ? folder : null;
}

/** A base model's own folder, or the one that the coordinator has downloaded into the hub's cache. */
async function folderOnDisk(model: string): Promise<string> {
  const name = parseHubName(model);
  const local = await localFolder(model);
  if (local !== null || name === null) return local ?? model;
  return (await openRepo(name, { ...hubSettings(), offline: true })).folder;
}

function hubSettings() {
  return readHubSettings((variable) => Deno.env.get(variable) || null);
}

async function writeAdapter(folder: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true });
    for (const [name, bytes] of files) {
      await Deno.writeFile(join(folder, `${name}.part`), bytes);
      await Deno.rename(join(folder, `${name}.part`), join(folder, name));
    }
  } catch (cause) {
    throw new LoraFleetError("storage", `cannot write into ${quote(folder)}: ${messageOf(cause)}`, { cause });
  }
}

/** Answers of base and tuned model to the validation rows, side by side. */
async function compare(
  { validationPath, outFolder, ignoreGpu }: TrainOptions,
  { children, progress }: TrainContext,
  state: RunState,
  body: JobBody,
  env: Record<string, string>,
): Promise<void> {
  const modelFolder = await folderOnDisk(String(body["model"]));
  progress.note("answering the validation rows with the base and the tuned model");
  const answersOf = (name: string, adapterFolder: string | null) =>
    evaluate(children, {
      name: `evaluate-${name}`,
      script: join(repositoryRoot, "worker/evaluate/main.ts"),
      ...{ modelFolder, adapterFolder, ignoreGpu, maxNewTokens: MAX_NEW_TOKENS },
      ...evaluationOf(body),
      datasetPath: validationPath!,
      resultPath: join(state.folder, `${name}.json`),
    }, env);
  const [base, tuned] = [await answersOf("base", null), await answersOf("tuned", outFolder)];
  if (tuned.samples.length > 0) {
    progress.note(`\n${formatSamples(base.samples, tuned.samples, SAMPLE_COUNT)}\n`);
  }
  progress.note(formatScores(base, tuned));
}

/** What an interrupted run leaves behind so that the same command resumes it: a folder beside the results. */
import { createHash } from "node:crypto";
import { join } from "@std/path";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { canonicalJson } from "../../shared/job/job_spec_hash.ts";

const LOCK = "lock";

const stateSchema = z.strictObject({
  version: z.literal(1),
  /** SHA-256 of what the run was asked to do. */
  asked: z.string(),
  /** Null for the coordinator that the run starts itself. */
  coordinatorUrl: z.string().nullable(),
  /** Null until it is created. */
  jobId: z.string().nullable(),
  /** For the job: sent, or about to be. Its answer may be lost, so that it has to be sent again as it is. */
  request: z.strictObject({ key: z.string(), body: z.record(z.string(), z.unknown()) }).nullable().default(
    null,
  ),
  /** The processes of this run's own workers, while they are there and after an interruption; null: unknown. */
  workers: z.array(z.int().positive()).nullable().default(null),
  /** The newest job of this run that failed with a checkpoint, and the checkpoint's step. */
  failed: z.strictObject({ jobId: z.string(), step: z.int() }).nullable().default(null),
});
type State = z.output<typeof stateSchema>;
/** What of a run is recorded as it goes on. */
type Progress = Pick<State, "jobId" | "request" | "workers" | "failed">;

export interface RunState extends Disposable, Readonly<Progress> {
  readonly folder: string;
  /** Records what is known before anything can be lost. */
  update(changes: Partial<Progress>): Promise<void>;
  /** Nothing is left to resume. */
  forget(): Promise<void>;
}

/** What makes two commands the same run: a different one must not resume it. */
export function hashOf(asked: unknown): string {
  return createHash("sha256").update(canonicalJson(asked)).digest("hex");
}

/** Which run a command is. */
export interface RunQuestion {
  /** As `hashOf` has it. */
  readonly asked: string;
  readonly coordinatorUrl: string | null;
  /** Forgets an earlier run. */
  readonly isFresh?: boolean;
  /** Goes on from the checkpoint of a run that failed, though it was asked for something else. */
  readonly isResumed?: boolean;
}

/**
 * Opens the state beside `outFolder`, until it is disposed of. A run that has no job yet gives way to a different one. Throws
 * `conflict` if a different run was interrupted or failed there, or any goes on; `usage` if there is nothing to resume; `storage` if
 * it cannot be read.
 */
export async function openRunState(outFolder: string, question: RunQuestion): Promise<RunState> {
  const folder = `${outFolder}.run`;
  const lock = await lockRun(folder);
  try {
    const found = question.isFresh === true ? null : await readState(folder);
    let state = nextState(folder, found, question);
    if (found === null || isEmpty(state)) await removeRun(folder);
    await writeState(folder, state);
    return {
      folder,
      get jobId() {
        return state.jobId;
      },
      get request() {
        return state.request;
      },
      get workers() {
        return state.workers;
      },
      get failed() {
        return state.failed;
      },
      async update(changes) {
        state = { ...state, ...changes };
        await writeState(folder, state);
      },
      forget: () => remove(folder),
      [Symbol.dispose]: () => lock.close(),
    };
  } catch (thrown) {
    lock.close();
    throw thrown;
  }
}

/** Whether nothing would be lost with it. */
function isEmpty({ jobId, request, failed }: State): boolean {
  return jobId === null && request === null && failed === null;
}

/** Pure but for its errors. */
function nextState(folder: string, found: State | null, question: RunQuestion): State {
  const { asked, coordinatorUrl, isResumed = false } = question;
  const fresh: State = {
    ...{ version: 1, asked, coordinatorUrl },
    ...{ jobId: null, request: null, workers: null, failed: null },
  };
  const isSame = found !== null && found.asked === asked && found.coordinatorUrl === coordinatorUrl;
  if (isResumed && (found === null || isEmpty(found))) {
    const message = `--resume: ${quote(folder)} has no run that failed with a checkpoint; leave it out`;
    throw new LoraFleetError("usage", message, { param: "resume" });
  }
  if (found === null || isSame) return found ?? fresh;
  if (found.jobId !== null || found.request !== null) {
    const job = found.jobId ?? "while its job was being created";
    const message = `${quote(folder)} is a different run that was interrupted (${job}): ` +
      "repeat its command to resume it, pass --fresh to forget it, or choose a different --out";
    throw new LoraFleetError("conflict", message, { param: "out" });
  }
  if (found.failed === null) return fresh;
  const where = found.coordinatorUrl ?? "a coordinator of its own";
  if (isResumed && found.coordinatorUrl === coordinatorUrl) {
    return { ...fresh, workers: found.workers, failed: found.failed };
  }
  const how = found.coordinatorUrl === coordinatorUrl
    ? "add --resume to go on from there with these settings"
    : `go on from there with ${where}`;
  const message =
    `${quote(folder)} has the checkpoint of step ${found.failed.step} of a different run that failed ` +
    `(${found.failed.jobId}): ${how}, pass --fresh to forget it, or choose a different --out`;
  throw new LoraFleetError("conflict", message, { param: "out" });
}

/** Two commands must not write into one folder. A process that ends releases its lock, however it ends. */
async function lockRun(folder: string): Promise<Deno.FsFile> {
  let file: Deno.FsFile;
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    file = await Deno.open(join(folder, LOCK), { create: true, write: true });
  } catch (cause) {
    throw new LoraFleetError("storage", `cannot write into ${quote(folder)}: ${messageOf(cause)}`, { cause });
  }
  if (await file.tryLock(true)) return file;
  file.close();
  const message = `another command is at work in ${quote(folder)}: wait for it, or choose a different --out`;
  throw new LoraFleetError("conflict", message, { param: "out" });
}

/** All but the lock, which is held. */
async function removeRun(folder: string): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) if (name !== LOCK) await remove(join(folder, name));
}

async function readState(folder: string): Promise<State | null> {
  const path = join(folder, "run.json");
  try {
    return stateSchema.parse(JSON.parse(await Deno.readTextFile(path)));
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return null;
    throw new LoraFleetError(
      "storage",
      `the interrupted run in ${quote(path)} cannot be read: ${messageOf(thrown)}; pass --fresh to forget it`,
      { cause: thrown },
    );
  }
}

async function writeState(folder: string, state: State): Promise<void> {
  const path = join(folder, "run.json");
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    await Deno.writeTextFile(`${path}.part`, JSON.stringify(state));
    await Deno.rename(`${path}.part`, path);
  } catch (cause) {
    throw new LoraFleetError("storage", `cannot write ${quote(path)}: ${messageOf(cause)}`, { cause });
  }
}

async function remove(folder: string): Promise<void> {
  await Deno.remove(folder, { recursive: true }).catch((thrown) => {
    if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
  });
}

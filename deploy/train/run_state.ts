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
});
type State = z.output<typeof stateSchema>;

export interface RunState extends Disposable {
  readonly folder: string;
  readonly jobId: string | null;
  /** Records the job before anything can be lost. */
  created(jobId: string): Promise<void>;
  /** Nothing is left to resume. */
  forget(): Promise<void>;
}

/** What makes two commands the same run: a different one must not resume it. */
export function hashOf(asked: unknown): string {
  return createHash("sha256").update(canonicalJson(asked)).digest("hex");
}

/**
 * Opens the state beside `outFolder`, until it is disposed of. A run that has no job yet gives way to a different one. Throws
 * `conflict` if a different run was interrupted there, or any goes on; `storage` if it cannot be read.
 * @param isFresh forgets an interrupted run
 */
export async function openRunState(
  outFolder: string,
  asked: string,
  coordinatorUrl: string | null,
  isFresh: boolean,
): Promise<RunState> {
  const folder = `${outFolder}.run`;
  const lock = await lockRun(folder);
  try {
    const found = isFresh ? null : await readState(folder);
    const isSame = found !== null && found.asked === asked && found.coordinatorUrl === coordinatorUrl;
    if (found !== null && found.jobId !== null && !isSame) {
      const message = `${quote(folder)} is a different run that was interrupted (${found.jobId}): ` +
        "repeat its command to resume it, pass --fresh to forget it, or choose a different --out";
      throw new LoraFleetError("conflict", message, { param: "out" });
    }
    if (!isSame) await removeRun(folder);
    const state: State = isSame ? found : { version: 1, asked, coordinatorUrl, jobId: null };
    await writeState(folder, state);
    return {
      folder,
      jobId: state.jobId,
      created: (jobId) => writeState(folder, { ...state, jobId }),
      forget: () => remove(folder),
      [Symbol.dispose]: () => lock.close(),
    };
  } catch (thrown) {
    lock.close();
    throw thrown;
  }
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

/** What an interrupted run leaves behind so that the same command resumes it: a folder beside the results. */
import { createHash } from "node:crypto";
import { join } from "@std/path";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { canonicalJson } from "../../shared/job/job_spec_hash.ts";

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

export interface RunState {
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
 * Opens the state beside `outFolder`. Throws `conflict` if a different run was interrupted there, `storage` if it cannot be read.
 * @param isFresh forgets an interrupted run
 */
export async function openRunState(
  outFolder: string,
  asked: string,
  coordinatorUrl: string | null,
  isFresh: boolean,
): Promise<RunState> {
  const folder = `${outFolder}.run`;
  if (isFresh) await remove(folder);
  const found = await readState(folder);
  if (found !== null && (found.asked !== asked || found.coordinatorUrl !== coordinatorUrl)) {
    const message = `${quote(folder)} is a different run that was interrupted (${
      found.jobId ?? "before its job was created"
    }): repeat its command to resume it, pass --fresh to forget it, or choose a different --out`;
    throw new LoraFleetError("conflict", message, { param: "out" });
  }
  const state: State = found ?? { version: 1, asked, coordinatorUrl, jobId: null };
  await writeState(folder, state);
  return {
    folder,
    jobId: state.jobId,
    created: (jobId) => writeState(folder, { ...state, jobId }),
    forget: () => remove(folder),
  };
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

/** Writes a checkpoint, the PEFT adapter and the state to resume from, into a temporary folder and uploads it. */
import { join } from "@std/path";
import { isDiskFailure } from "../../shared/disk_errors.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { checkpointWaitMs, diskPauseMs } from "../../shared/protocol/limits.ts";
import { sha256Of } from "../../shared/model/hash_cache.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import { withDeadline } from "../async/abortable.ts";
import type { Runtime } from "../async/runtime.ts";
import type { StepEngine } from "../engine/engine.ts";
import type { CoordinatorApi, Fetch } from "./http.ts";

interface CheckpointOptions extends Runtime {
  readonly cacheFolder: string;
  readonly fetch: Fetch;
}

interface StoredFile {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

type WriteCheckpointTo = (
  target: CoordinatorApi,
  engine: Pick<StepEngine, "writeAdapter" | "writeState">,
  job: Pick<JobAnnouncement, "jobId" | "baseModelName" | "savesState">,
  step: number,
  signal: AbortSignal,
) => Promise<StoredFile[]>;

/** The function returns the stored files, and rejects with a `LoraFleetError`. */
export function createCheckpointWriter(options: CheckpointOptions): WriteCheckpointTo {
  const { cacheFolder, clock, limits } = options;
  return async (target, engine, job, step, signal) => {
    const folder = await onDisk(step, async () => {
      await Deno.mkdir(cacheFolder, { recursive: true });
      return await Deno.makeTempDir({ dir: cacheFolder, prefix: "adapter-" });
    });
    try {
      await onDisk(step, async () => {
        await engine.writeAdapter(folder, job.baseModelName);
        if (job.savesState) await engine.writeState(folder);
      });
      const files = await filesOf(folder, signal);
      const bytes = files.reduce((sum, { size }) => sum + size, 0);
      const what = `uploading the adapter of step ${step}`;
      await withDeadline(clock, checkpointWaitMs(bytes, limits), what, signal, async (signal) => {
        for (const file of files) {
          const url = `${target.httpUrl}/internal/jobs/${job.jobId}/checkpoints/${step}/${file.name}`;
          await upload(options, url, target.token, join(folder, file.name), file, signal);
        }
      });
      return files;
    } finally {
      await Deno.remove(folder, { recursive: true }).catch(() => {});
    }
  };
}

/** Turns the system's error for a full or broken disk into one that names the checkpoint. */
async function onDisk<T>(step: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (!isDiskFailure(thrown)) throw thrown;
    const message = `cannot write the adapter of step ${step} to the cache folder: ${reasonOf(thrown)}`;
    throw new LoraFleetError("storage", message, { cause: thrown });
  }
}

/** Without paths: the job's events would show them to every user of the API. */
function reasonOf(thrown: unknown): string {
  return messageOf(thrown).replace(/^Writing ".*?(?:"|\.\.\.) failed: /, "").replace(/: \w+ '.*$/, "")
    .replace(/\.$/, "");
}

async function filesOf(folder: string, signal: AbortSignal): Promise<StoredFile[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  return await Promise.all(names.map(async (name) => {
    const path = join(folder, name);
    return { name, size: (await Deno.stat(path)).size, sha256: await sha256Of(path, signal) };
  }));
}

/** Retries until the file is stored: the coordinator accepts the same bytes again. Pauses grow in case its disk is full. */
async function upload(
  { fetch, clock, limits, log }: CheckpointOptions,
  url: string,
  token: string,
  path: string,
  file: StoredFile,
  signal: AbortSignal,
): Promise<void> {
  const headers = {
    "authorization": `Bearer ${token}`,
    "content-type": "application/octet-stream",
    "x-lorafleet-sha256": file.sha256,
  };
  for (let failures = 1;; failures++) {
    let answer: string;
    try {
      const body = (await Deno.open(path)).readable;
      const response = await fetch(url, { method: "PUT", headers, body, signal, redirect: "error" });
      answer = `${response.status} ${await response.text()}`;
      if (response.ok) return;
      if (response.status < 500) {
        throw new LoraFleetError("conflict", `the coordinator refuses ${quote(file.name)}: ${answer}`);
      }
    } catch (thrown) {
      signal.throwIfAborted();
      if (thrown instanceof LoraFleetError) throw thrown;
      answer = messageOf(thrown);
    }
    log("warn", `uploading ${quote(file.name)} failed, trying again: ${answer}`);
    await clock.sleep(Math.max(limits.retryIntervalMs, diskPauseMs(failures, limits)), signal);
  }
}

/**
 * A job whose coordinator, broker and worker run out of disk, one after the other, and jobs that are interrupted in their first
 * step. Nothing is restarted by hand but what a signal ends. Processes, broker, streams and disks are real; the engine is a toy.
 */
import { systemClock } from "../../shared/clock.ts";
import {
  type CoordinatorChild,
  freePort,
  jobOf,
  messagesOf,
  startCoordinatorChild,
  submitJob,
  until,
} from "../integration/coordinator_child.ts";
import { startToyWorker } from "../integration/toy_worker.ts";
import { mountSmallDisk, type SmallDisk } from "./small_disk.ts";

export type DiskName = "data folder" | "broker folder" | "worker cache";
export type Interruption = "pause" | "SIGTERM" | "SIGKILL";

/** What a trial needs of its job. */
export interface JobSize {
  readonly steps: number;
  readonly gradientMs: number;
  readonly saveSteps: number;
  readonly fleet?: Record<string, unknown>;
}

/** What one full disk did. */
export interface FullDisk {
  readonly name: DiskName;
  /** The step that was committed last when it was filled, and when it was freed. */
  readonly steps: readonly [number, number];
  /** Answer and status of /readyz while the disk was full. */
  readonly readyWhileFull: string;
  /** From the moment that it was freed to the next commit, and to /readyz 200. */
  readonly nextCommitMs: number;
  readonly readyMs: number;
  /** What POST /v1/fine_tuning/jobs was answered while it was full. */
  readonly createStatus: number;
}

export interface DiskOutcome {
  readonly adapterSha256: string;
  readonly messages: readonly string[];
  readonly coordinatorSaid: string;
}

interface Trial {
  readonly folder: string;
  readonly api: string;
  readonly jobId: string;
  readonly coordinator: CoordinatorChild;
  /** A second coordinator on the same folder and ports. */
  start(): Promise<CoordinatorChild>;
  step(): Promise<number>;
}

/** Trains a job with one worker in `folder` while `disturb` happens. */
export async function trainDisturbed(
  folder: string,
  size: JobSize,
  disturb: (trial: Trial) => Promise<void>,
): Promise<DiskOutcome> {
  const ports = ["--port", String(freePort()), "--nats-port", String(freePort())];
  await using started = new AsyncDisposableStack();
  let said = "";
  const start = async () => {
    const child = started.use(startCoordinatorChild(`${folder}/data`, ports));
    await child.joinUrl();
    return child;
  };
  const coordinator = await start();
  const worker = startToyWorker({
    ...{ name: "w-a", joinUrl: await coordinator.joinUrl(), cacheFolder: `${folder}/cache` },
    gradientMs: size.gradientMs,
  });
  started.defer(() => worker.stop());
  const api = coordinator.api();
  const jobId = await submitJob(api, {
    max_steps: size.steps,
    gradient_accumulation_steps: 4,
    learning_rate: 1e-2,
    logging_steps: 1,
    save_strategy: "steps",
    save_steps: size.saveSteps,
  }, size.fleet);
  const job = () => jobOf(api, jobId).catch(() => null);
  const step = async () => (await job())?.step ?? 0;
  try {
    await disturb({ folder, api, jobId, coordinator, start, step });
    const isOver = async () => ["succeeded", "failed", "cancelled"].includes((await job())?.status ?? "");
    await until("the end of the job", isOver, coordinator.stderr, 240_000);
    said = coordinator.stderr();
    const messages = await messagesOf(api, jobId);
    const { status, error, result_files } = await jobOf(api, jobId) as Awaited<ReturnType<typeof jobOf>> & {
      result_files: string[];
    };
    if (status !== "succeeded") throw new Error(`the job has ${status}: ${JSON.stringify(error)}`);
    const files = await Promise.all(
      result_files.map(async (id): Promise<{ filename: string; sha256: string }> =>
        (await fetch(`${api}/files/${id}`)).json()
      ),
    );
    const adapter = files.find(({ filename }) => filename.endsWith("adapter_model.safetensors"));
    return { adapterSha256: adapter!.sha256, messages, coordinatorSaid: said };
  } catch (thrown) {
    const messages = await messagesOf(api, jobId).catch(() => []);
    throw new Error(`${thrown}\n${messages.join("\n")}\n${coordinator.stderr()}`, { cause: thrown });
  }
}

/** Fills each of the three disks for `holdMs`, in turn. */
export async function fillDisks(
  folder: string,
  size: JobSize,
  holdMs: number,
  onFull: (outcome: FullDisk) => void,
): Promise<DiskOutcome> {
  await using disks = new AsyncDisposableStack();
  // The broker's lies in the data folder's.
  const data = disks.use(await mountSmallDisk(`${folder}/data`, 64));
  const broker = disks.use(await mountSmallDisk(`${folder}/data/nats`, 64));
  const cache = disks.use(await mountSmallDisk(`${folder}/cache`, 16));
  const outcome = await trainDisturbed(folder, size, async (trial) => {
    await until("the first steps", async () => await trial.step() >= 2);
    onFull(await holdFull("data folder", data, trial, holdMs));
    onFull(await holdFull("broker folder", broker, trial, holdMs));
    onFull(await holdFull("worker cache", cache, trial, holdMs));
  });
  return outcome;
}

async function holdFull(name: DiskName, disk: SmallDisk, trial: Trial, holdMs: number): Promise<FullDisk> {
  const { api } = trial;
  const ready = async () => {
    const response = await fetch(`${api.replace(/\/v1$/, "")}/readyz`);
    const { checks } = await response.json() as { checks: Record<string, string> };
    return { status: response.status, checks };
  };
  const before = await trial.step();
  await disk.fill();
  const filledAt = systemClock.now();
  const { training_file } = await jobOf(api, trial.jobId) as unknown as { training_file: string };
  const created = await fetch(`${api}/fine_tuning/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      ...{ model: "base", training_file },
      training: { max_steps: 20, learning_rate: 1e-2, gradient_accumulation_steps: 4 },
      dataset: { max_seq_length: 64 },
    }),
  });
  const { id } = await created.json();
  if (created.status === 200) await fetch(`${api}/fine_tuning/jobs/${id}/cancel`, { method: "POST" });
  await systemClock.sleep(Math.max(0, holdMs - (systemClock.now() - filledAt)));
  const full = await ready();
  const after = await trial.step();
  await disk.free();
  const freedAt = systemClock.now();
  let last: Awaited<ReturnType<typeof ready>> | null = null;
  let readyMs = -1;
  let nextCommitMs = -1;
  const detail = () => `${JSON.stringify(last)}\n${trial.coordinator.stderr()}`;
  await until(
    `a step after the ${name} was full`,
    async () => {
      if (readyMs < 0) {
        last = await ready();
        if (last.status === 200) readyMs = systemClock.now() - freedAt;
      }
      if (nextCommitMs < 0 && await trial.step() > after) nextCommitMs = systemClock.now() - freedAt;
      return readyMs >= 0 && nextCommitMs >= 0;
    },
    detail,
    60_000,
  );
  const troubles = Object.entries(full.checks).filter(([, said]) => said !== "ok");
  const said = troubles.map(([check, said]) => `${check}: ${said}`).join("; ");
  return {
    ...{ name, steps: [before, after], nextCommitMs, readyMs, createStatus: created.status },
    readyWhileFull: `${full.status} ${said}`.trim(),
  };
}

/** Interrupts a job in its first step, before there is any commit of a step, and has it go on. */
export async function interruptFirstStep(
  folder: string,
  size: JobSize,
  how: Interruption,
): Promise<DiskOutcome> {
  return await trainDisturbed(folder, size, async ({ api, jobId, coordinator, start, step }) => {
    const isComputing = async () => {
      const { data } = await (await fetch(`${api}/workers`)).json();
      return data[0]?.state === "working";
    };
    await until("the first step's work", isComputing);
    if (await step() !== 0) throw new Error("the first step is over already");
    if (how === "pause") {
      await fetch(`${api}/fine_tuning/jobs/${jobId}/pause`, { method: "POST" });
      await systemClock.sleep(300);
      await fetch(`${api}/fine_tuning/jobs/${jobId}/resume`, { method: "POST" });
    } else {
      coordinator.kill(how);
      await coordinator.ended;
      await start();
    }
  });
}

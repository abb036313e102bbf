/**
 * Room on the data folder's disk. Below a low watermark, jobs pause and nothing that takes room begins; above a high one they go
 * on. The room between the low one and the end is for what has begun: records, a checkpoint, the broker's streams.
 */
import { statfs } from "node:fs/promises";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { isFinished } from "../jobs/record/job.ts";
import type { JobService } from "../jobs/job_service.ts";
import type { JobStore } from "../jobs/stores/job_store.ts";

/** A checkpoint of a large adapter takes longer to arrive. */
const INTERVAL_MS = 2000;
/** The high watermark, so that a job does not go on and off at the edge. */
const HIGH_PER_LOW = 1.25;
const DEFAULT_SHARE = 0.01;
const MAX_DEFAULT_BYTES = 2 ** 30;

export interface DiskSpace {
  readonly freeBytes: number;
  readonly sizeBytes: number;
}

export interface DiskRoom {
  /** Whether jobs may run, as of the last look. */
  mayRun(): boolean;
  /** Bytes that nothing new may take; 0: it is not watched. */
  reserveBytes(): number;
  /** Throws `storage` with the bytes that are needed and free if `bytes` more would leave less than the low watermark. */
  assertRoomFor(bytes: number, what: string): Promise<void>;
  /** Throws `storage` below the watermark, for /readyz. */
  assertEnough(): Promise<void>;
  /** Measures. Returns whether jobs may run. */
  look(): Promise<boolean>;
}

interface DiskRoomOptions {
  readonly folder: string;
  /** The low watermark in bytes; null: 1 % of the disk, up to 1 GiB; 0: none. */
  readonly minFreeBytes: number | null;
  /** Null if the system does not say; a test has a disk of its own. */
  readonly measure?: (folder: string) => Promise<DiskSpace | null>;
}

export function createDiskRoom({ folder, minFreeBytes, measure = measureDisk }: DiskRoomOptions): DiskRoom {
  let isLow = false;
  let last: { readonly free: number; readonly low: number } | null = null;

  const look = async (): Promise<boolean> => {
    const space = minFreeBytes === 0 ? null : await measure(folder);
    if (space === null) {
      [isLow, last] = [false, null];
      return true;
    }
    const low = minFreeBytes ?? Math.min(MAX_DEFAULT_BYTES, Math.floor(space.sizeBytes * DEFAULT_SHARE));
    last = { free: space.freeBytes, low };
    isLow = space.freeBytes < (isLow ? low * HIGH_PER_LOW : low);
    return !isLow;
  };

  return {
    look,
    mayRun: () => !isLow,
    reserveBytes: () => last?.low ?? 0,
    async assertRoomFor(bytes, what) {
      await look();
      if (last === null || (!isLow && bytes + last.low <= last.free)) return;
      const { free, low } = last;
      const message =
        `${what} needs ${bytes} bytes, and ${low} stay free for jobs that run (--min-free-mib), but only ` +
        `${free} bytes are free on the disk of the data folder: make room`;
      throw new LoraFleetError("storage", message, { param: "data-folder" });
    },
    async assertEnough() {
      if (await look()) return;
      const wanted = Math.ceil(last!.low * HIGH_PER_LOW);
      const message = `${
        last!.free
      } bytes are free on the disk of the data folder: jobs pause until there are ${wanted}`;
      throw new LoraFleetError("storage", message);
    },
  };
}

interface WatchOptions {
  readonly room: DiskRoom;
  readonly jobs: Pick<JobService, "pause" | "resume" | "proceed">;
  readonly store: Pick<JobStore, "unfinishedJobs">;
  readonly clock: Clock;
  readonly log: (level: "info" | "warn", message: string) => void;
}

/** Pauses jobs and lets them go on, until the signal ends it. */
export async function watchDisk(options: WatchOptions, signal: AbortSignal): Promise<void> {
  for (;;) {
    await keepRoom(options);
    await options.clock.sleep(INTERVAL_MS, signal);
  }
}

/** One look, and what follows from it. */
export async function keepRoom({ room, jobs, store, log }: WatchOptions): Promise<void> {
  const mayRun = await room.look();
  const problem = mayRun ? "" : await room.assertEnough().then(() => "", messageOf);
  let count = 0;
  for (const { id, status, pausedFor } of store.unfinishedJobs()) {
    if (isFinished(status)) continue;
    const isPausedHere = status === "paused" && pausedFor === "disk";
    if (mayRun ? !isPausedHere : !["running", "validating_files"].includes(status)) continue;
    try {
      if (mayRun) jobs.resume(id);
      else jobs.pause(id, { for: "disk", message: `The job pauses: ${problem}.` });
      count++;
    } catch (thrown) {
      // It has ended since, or the disk has no room for the record either.
      log("warn", `job ${id} is not ${mayRun ? "resumed" : "paused"}: ${messageOf(thrown)}`);
    }
  }
  if (mayRun) jobs.proceed();
  if (count > 0) log(mayRun ? "info" : "warn", mayRun ? "the disk has room again: jobs go on" : problem);
}

async function measureDisk(folder: string): Promise<DiskSpace | null> {
  try {
    const { bavail, blocks, bsize } = await statfs(folder);
    return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
  } catch {
    return null;
  }
}

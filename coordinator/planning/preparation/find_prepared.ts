/**
 * Prepared rows from the cache, or from a preparation in a process of its own. At most two processes run at a time, and one per
 * key. The event loop is never blocked for long, however large the dataset is.
 */
import type { Clock } from "../../../shared/clock.ts";
import { counted } from "../../../shared/counted.ts";
import { isDiskFull } from "../../../shared/disk_errors.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { checkModelForJob } from "../../base_models/model_check.ts";
import type { Attempts } from "./attempts.ts";
import type { PartRequest } from "./prepare_request.ts";
import type { runPreparationChild } from "./preparation_child.ts";
import type { Progress } from "./preparation_messages.ts";
import type { PreparedCache } from "./prepared_cache.ts";
import { createKeyedTurns, createTurns, type TakeTurn, type Turns } from "./turns.ts";

/** More would take memory from the coordinator, and cores from a worker beside it. */
const MAX_PROCESSES = 2;
/** Shows a user who waits for minutes that the preparation goes on. */
const PROGRESS_EVENT_MS = 10_000;
/** A coordinator that has ended this often while it prepared a job does not try again; once may be a coincidence. */
const MAX_ENDS = 2;
const FULL_DISK_PAUSE_MS = 5000;
/** The oldest are forgotten. */
const MAX_REFUSALS = 1000;

interface PreparationOptions {
  readonly cache: PreparedCache;
  readonly attempts: Attempts;
  readonly clock: Clock;
  readonly run: typeof runPreparationChild;
}

interface Preparations extends PreparationOptions {
  readonly turnOf: (key: string) => TakeTurn;
  readonly processes: Turns;
  /** By key: the same file is refused for the same reason without a new preparation. */
  readonly refusals: Map<string, LoraFleetError>;
}

export function createPreparations(options: PreparationOptions): Preparations {
  const [turnOf, processes] = [createKeyedTurns(), createTurns(MAX_PROCESSES)];
  return { ...options, turnOf, processes, refusals: new Map() };
}

/**
 * The result of `find`, which looks a key up in the cache, after a preparation if it finds nothing.
 * @param isUrgent whether the preparation goes before all that are not urgent
 */
export async function findPrepared<T>(
  preparations: Preparations,
  request: PartRequest,
  key: string,
  isUrgent: boolean,
  find: () => Promise<T | null>,
): Promise<T> {
  const { turnOf, attempts, refusals } = preparations;
  const { id, spec, model, signal } = request;
  const endTurn = await turnOf(key)(signal);
  try {
    if (await attempts.begin(id) >= MAX_ENDS) {
      throw new Error(
        `the coordinator has ended ${MAX_ENDS} times while it prepared this job's data, and does not try it again; see its ` +
          `log for the reason, and create the job anew once that is fixed`,
      );
    }
    const known = await find();
    if (known !== null) {
      // The weights were checked when the job was created; a plan has none.
      await checkModelForJob(spec, model.folder, "if there");
      return known;
    }
    const refusal = refusals.get(key);
    if (refusal !== undefined) throw refusal;
    await prepareInProcess(preparations, request, key, isUrgent);
    const made = await find();
    if (made !== null) return made;
    throw new LoraFleetError(
      "storage",
      "the prepared rows of the dataset were lost right after they were written",
    );
  } finally {
    await attempts.end(id);
    endTurn();
  }
}

async function prepareInProcess(
  preparations: Preparations,
  request: PartRequest,
  key: string,
  isUrgent: boolean,
): Promise<void> {
  const { processes, cache, clock, run } = preparations;
  const { spec, part, files, model, signal } = request;
  const end = await (isUrgent ? processes.urgent : processes.next)(signal);
  try {
    const preparation = {
      ...{ spec, part, key, files: [...files] },
      modelFolder: model.folder,
      outputPath: cache.pathOf(key),
    };
    const onProgress = progressEvents(request, clock);
    const work = () => run(preparation, { clock, signal, onProgress });
    await whileDiskIsFull(preparations, request, key, work);
    await cache.trim(key);
  } catch (thrown) {
    rememberRefusal(preparations, key, thrown);
    throw thrown;
  } finally {
    end();
  }
}

function progressEvents(
  { event, signal }: PartRequest,
  clock: Clock,
): (progress: Progress) => void {
  let reportedAt = clock.now();
  return ({ bytes, totalBytes, rows, tokens }) => {
    if (clock.now() - reportedAt < PROGRESS_EVENT_MS || signal.aborted) return;
    reportedAt = clock.now();
    const percent = Math.floor(100 * bytes / Math.max(1, totalBytes));
    const done = `${counted(rows, "row")}, ${counted(tokens, "token")}`;
    const message = `Preparing the data: ${bytes} of ${totalBytes} bytes are read (${percent}%); ${done}.`;
    event("info", message, { bytes, total_bytes: totalBytes, rows, tokens });
  };
}

/** Retries while the disk is full: first with space from the cache, then once others have made some. */
async function whileDiskIsFull(
  { cache, clock }: Preparations,
  { event, signal }: PartRequest,
  key: string,
  work: () => Promise<void>,
): Promise<void> {
  for (let attempt = 1;; attempt++) {
    try {
      return await work();
    } catch (thrown) {
      if (!isFullDisk(thrown)) throw thrown;
      if (attempt === 2) {
        event("warn", "The disk has no space for the prepared data: the job waits until there is some.");
      }
      // The first retry needs no pause: clearing the cache may have been enough.
      if (attempt > 1) await clock.sleep(FULL_DISK_PAUSE_MS, signal);
      await cache.clear(key);
    }
  }
}

/** Faults of file and settings recur; the base model is checked for each job anew. */
function rememberRefusal({ refusals }: Preparations, key: string, thrown: unknown): void {
  if (!(thrown instanceof LoraFleetError) || thrown.code !== "invalid_dataset") return;
  refusals.set(key, thrown);
  if (refusals.size > MAX_REFUSALS) refusals.delete(refusals.keys().next().value!);
}

function isFullDisk(thrown: unknown): boolean {
  return thrown instanceof LoraFleetError && thrown.code === "storage" && isDiskFull(thrown);
}

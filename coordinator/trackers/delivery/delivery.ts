/**
 * Delivers one job's points to one tracker, in order, for as long as it takes: the job's stored events are the spool, and a
 * small file says how far they are delivered. The job never waits for it.
 */
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { isFinished, type JobRecord } from "../../jobs/record/job.ts";
import type { JobStore } from "../../jobs/stores/job_store.ts";
import { collectPoints } from "./collect.ts";
import { type DeliveryFile, type DeliveryState, NOTHING_DELIVERED } from "./delivery_state.ts";
import { type LoggingRule, summaryOf } from "./points.ts";
import type { Batch, RunEnd, TrackedRun } from "../run/tracker.ts";

/** The least time between two batches, so that short steps share one. */
const BATCH_INTERVAL_MS = 1000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 60_000;
/** W&B's client does the same. */
const BEAT_INTERVAL_MS = 30_000;
/** After this time of failures the points of a finished job are given up. */
const GIVE_UP_MS = 7 * 24 * 3_600_000;

export interface DeliveryOptions {
  readonly jobId: string;
  readonly title: string;
  /** Called once, when the job has started and is fully known. */
  readonly open: (job: JobRecord) => TrackedRun;
  readonly rule: LoggingRule;
  readonly file: DeliveryFile;
  readonly store: Pick<JobStore, "eventsSince" | "job">;
  readonly clock: Clock;
  /** Runs the listener after every change of the job or its events. */
  readonly watch: (listener: () => void) => () => void;
  readonly note: (level: "info" | "warn", message: string) => void;
  readonly signal: AbortSignal;
}

/** Resolves once everything is delivered, given up, or the signal has aborted. */
export async function deliverRun(options: DeliveryOptions): Promise<void> {
  const delivery = new Delivery(options);
  try {
    await delivery.run();
  } catch (thrown) {
    if (!options.signal.aborted) throw thrown;
  } finally {
    delivery.close();
  }
}

class Delivery {
  readonly #options: DeliveryOptions;
  readonly #unwatch: () => void;
  #changed = Promise.withResolvers<void>();
  #state: DeliveryState = NOTHING_DELIVERED;
  #failures = 0;
  #run: TrackedRun | null = null;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#unwatch = options.watch(() => this.#changed.resolve());
  }

  close(): void {
    this.#unwatch();
  }

  async run(): Promise<void> {
    const { file, signal } = this.#options;
    this.#state = await file.load() ?? NOTHING_DELIVERED;
    for (;;) {
      signal.throwIfAborted();
      this.#changed = Promise.withResolvers();
      const isOver = await this.#attempt().catch((thrown) => this.#failed(thrown));
      if (isOver) return await file.remove();
    }
  }

  /** Sends what there is, or waits for more. Returns whether that was all. */
  async #attempt(): Promise<boolean> {
    const { store, clock, jobId, rule, signal } = this.#options;
    const job = store.job(jobId);
    if (job === null || (isFinished(job.status) && job.startedAt === null)) return true;
    if (job.startedAt === null) return await this.#wait();
    this.#run ??= this.#options.open(job);
    // The job was read before its events, so the last of them are among these.
    const collected = await collectPoints(store, clock, jobId, this.#state, rule);
    const end = collected.isCaughtUp ? endOf(job, summaryOf(collected.folding)) : null;
    const { points, event, folding } = collected;
    if (points.length === 0 && end === null && this.#state.run !== null) return await this.#wait();
    await this.#send(this.#run, { points, end }, { event, folding });
    if (end === null && collected.isCaughtUp) await clock.sleep(BATCH_INTERVAL_MS, signal);
    return end !== null;
  }

  async #send(run: TrackedRun, batch: Batch, place: Pick<DeliveryState, "event" | "folding">): Promise<void> {
    const { title, file, note, signal } = this.#options;
    const { run: before, failingSince } = this.#state;
    const state = await run.send(batch, before, signal);
    const next = { ...place, run: state, failingSince: null };
    await file.save(next);
    this.#state = next;
    this.#failures = 0;
    if (failingSince !== null) note("info", `${title} takes points again; those that waited are delivered.`);
    if (before === null) note("info", `${title} shows this run: ${run.placeOf(state)}.`);
  }

  /** Until the job changes; a tracker with heartbeats gets one every half minute. */
  async #wait(): Promise<boolean> {
    const { clock, signal } = this.#options;
    const woken = new AbortController();
    const late = clock.sleep(BEAT_INTERVAL_MS, AbortSignal.any([woken.signal, signal])).then(() => true);
    late.catch(() => {});
    const isLate = await Promise.race([late, this.#changed.promise.then(() => false)]);
    woken.abort();
    if (isLate && this.#state.run !== null) await this.#run?.beat?.(this.#state.run, signal);
    return false;
  }

  /** Notes the first failure and waits. Returns whether the points are given up. */
  async #failed(thrown: unknown): Promise<boolean> {
    const { clock, title, file, note, store, jobId, signal } = this.#options;
    signal.throwIfAborted();
    const since = this.#state.failingSince;
    if (since === null) {
      const isRefused = thrown instanceof LoraFleetError && thrown.code === "unauthorized";
      const remedy = isRefused
        ? "they are sent once the coordinator runs with a valid key"
        : "they are sent later";
      note("warn", `${title} takes no points: ${messageOf(thrown)}. The job continues; ${remedy}.`);
      this.#state = { ...this.#state, failingSince: clock.now() };
      // Where the disk is what fails, a restart reports it once more.
      await file.save(this.#state).catch(() => {});
    } else if (clock.now() - since > GIVE_UP_MS && isFinished(store.job(jobId)?.status ?? "failed")) {
      note("warn", `${title} has taken no points for 7 days: those that are left are not sent.`);
      return true;
    }
    await clock.sleep(Math.min(FIRST_RETRY_MS * 2 ** this.#failures++, LAST_RETRY_MS), signal);
    return false;
  }
}

function endOf(job: JobRecord, summary: RunEnd["summary"]): RunEnd | null {
  const { status, finishedAt, error, step } = job;
  if (!isFinished(status)) return null;
  return { status, at: finishedAt ?? job.createdAt, step, error: error?.message ?? null, summary };
}

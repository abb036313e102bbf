/** One run: a job on a fleet of processes, with or without faults, and what came out of it. */
import { systemClock } from "../../shared/clock.ts";
import { pcg32 } from "../../shared/prng.ts";
import { jobOf, messagesOf, submitJob, until } from "../integration/coordinator_child.ts";
import { type Books, checkBooks } from "./books.ts";
import { type ChaosFleet, startChaosFleet } from "./chaos_fleet.ts";
import type { PlannedFault } from "./faults.ts";
import { inflict, type Inflicted, replenish } from "./inflict.ts";

export interface RunOptions {
  readonly seed: number;
  readonly stepCount: number;
  readonly workerCount: number;
  readonly faults: readonly PlannedFault[];
  readonly engine: "toy" | "gpu";
  /** Of the toy: how long a micro-batch takes. */
  readonly gradientMs: number;
  /** Called for each fault once the next commit has arrived. */
  readonly onFault: (outcome: FaultOutcome) => void;
}

export interface FaultOutcome extends PlannedFault {
  readonly worker: string | null;
  /** Since the job was submitted. */
  readonly atMs: number;
  readonly nextCommitMs: number;
}

export interface RunOutcome {
  readonly adapterSha256: string;
  readonly books: Books;
  readonly faults: readonly FaultOutcome[];
  /** From the start of a process to the first micro-batch in its sums, of those that joined a job that was on its way. */
  readonly joinMs: readonly number[];
  /** Between two commits. */
  readonly medianStepMs: number;
  readonly corrupted: number;
  readonly duplicated: number;
  /** How often the job has begun again after the loss of all state; 1 is once. */
  readonly starts: number;
  readonly totalMs: number;
}

const MICRO_BATCHES_PER_STEP = 8;

export async function run(options: RunOptions): Promise<RunOutcome> {
  const { seed, stepCount, workerCount, faults, onFault } = options;
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-chaos-" });
  try {
    await using fleet = await startChaosFleet({ ...options, folder, random: pcg32(seed, 1n) });
    for (let index = 0; index < workerCount; index++) fleet.startWorker();
    const jobId = await submitJob(fleet.api, {
      max_steps: stepCount,
      gradient_accumulation_steps: MICRO_BATCHES_PER_STEP,
      learning_rate: 1e-2,
      seed,
      logging_steps: 1,
      save_strategy: "steps",
      save_steps: 10,
    });
    const startedAt = systemClock.now();
    try {
      const done = await Promise.all([
        doFaults(fleet, faults, startedAt, onFault),
        // Whatever happens to the coordinator: it answers again in the end.
        until("the end of the job", async () => await isOver(fleet.api, jobId), undefined, 600_000),
      ]);
      return await outcomeOf(fleet, jobId, options, done[0], systemClock.now() - startedAt);
    } catch (thrown) {
      throw new Error(
        `seed ${seed}: ${thrown instanceof Error ? thrown.message : thrown}\n${fleet.stderr()}`,
        {
          cause: thrown,
        },
      );
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function isOver(api: string, jobId: string): Promise<boolean> {
  const job = await jobOf(api, jobId).catch(() => null);
  return ["succeeded", "failed", "cancelled"].includes(job?.status ?? "");
}

async function doFaults(
  fleet: ChaosFleet,
  faults: readonly PlannedFault[],
  startedAt: number,
  onFault: (outcome: FaultOutcome) => void,
): Promise<FaultOutcome[]> {
  const { watch } = fleet;
  const outcomes: FaultOutcome[] = [];
  for (const planned of faults) {
    await until(`step ${planned.step}`, () => watch.committedStep >= planned.step - 1, undefined, 120_000);
    await systemClock.sleep(planned.delayMs);
    let inflicted: Inflicted | null = null;
    await Promise.all([
      inflict(fleet, planned).then((done) => inflicted = done),
      until(`the fault "${planned.fault.type}"`, () => inflicted !== null),
    ]);
    const { at, worker } = inflicted!;
    const nextCommit = () => watch.commitTimes.find((time) => time > at);
    const what = `the commit after "${planned.fault.type}" at step ${watch.committedStep + 1}`;
    await until(what, () => nextCommit() !== undefined, undefined, 120_000);
    const outcome = {
      ...planned,
      worker: worker?.name ?? null,
      atMs: at - startedAt,
      nextCommitMs: nextCommit()! - at,
    };
    outcomes.push(outcome);
    onFault(outcome);
    replenish(fleet);
  }
  return outcomes;
}

async function outcomeOf(
  fleet: ChaosFleet,
  jobId: string,
  { stepCount, workerCount }: RunOptions,
  faults: readonly FaultOutcome[],
  totalMs: number,
): Promise<RunOutcome> {
  const { api, watch, lines, workers } = fleet;
  const job = await jobOf(api, jobId) as Awaited<ReturnType<typeof jobOf>> & { result_files: string[] };
  if (job.status !== "succeeded") {
    const messages = (await messagesOf(api, jobId)).join("\n");
    throw new Error(`the job has ${job.status}: ${JSON.stringify(job.error)}\n${messages}`);
  }
  const files = await Promise.all(
    job.result_files.map(async (id): Promise<{ filename: string; sha256: string }> =>
      (await fetch(`${api}/files/${id}`)).json()
    ),
  );
  const expected = new Map(
    Array.from({ length: stepCount }, (_, index) => {
      const count = watch.microBatchCounts.get(index + 1) ?? MICRO_BATCHES_PER_STEP;
      return [index + 1, Array.from({ length: count }, (_, i) => index * MICRO_BATCHES_PER_STEP + i)];
    }),
  );
  const gaps = watch.commitTimes.slice(1).map((time, index) => time - watch.commitTimes[index]!);
  const sum = (of: "corrupted" | "duplicated") =>
    workers.reduce((total, { proxy }) => total + proxy.counts[of], 0);
  return {
    adapterSha256: files.find(({ filename }) => filename.endsWith("adapter_model.safetensors"))!.sha256,
    books: checkBooks(lines, watch.words, expected),
    faults,
    joinMs: workers.slice(workerCount).flatMap(({ startedAt, contributedAt }) =>
      contributedAt === null ? [] : [contributedAt - startedAt]
    ),
    medianStepMs: medianOf(gaps),
    corrupted: sum("corrupted"),
    duplicated: sum("duplicated"),
    starts: watch.startIds.size,
    totalMs,
  };
}

/** NaN of nothing. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

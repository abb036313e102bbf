/**
 * `training.on_divergence: "halve_learning_rate"`: a training that has diverged goes on from its last good state, once, as a plan
 * of its own: its hash differs, so that no worker and no commit of the diverged one is mistaken for it.
 */
import { createHash } from "node:crypto";
import { LoraFleetError } from "../../shared/errors.ts";
import { canonicalJson } from "../../shared/job/job_spec_hash.ts";
import { layoutOfJob } from "../planning/adapter_layout.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import type { JobContext } from "./job_context.ts";
import type { JobRecord } from "./record/job.ts";
import { openResumedState } from "./results/resumed_state.ts";
import type { CheckpointRecord } from "./stores/job_store.ts";

type Rollback = NonNullable<JobRecord["rollback"]>;

/** What a failure by divergence names as its field, here and in training/non_finite.ts. */
export const DIVERGENCE_PARAM = "training.learning_rate";

/**
 * Where the job goes on after this failure; null if it fails with it: no divergence, not asked for, or the second one. Later
 * checkpoints are dropped, since their steps will have a different outcome.
 */
export async function rollbackAfter(
  context: JobContext,
  { id, spec, initial }: PlannedJob,
  thrown: unknown,
  lastGoodStep: number,
  signal: AbortSignal,
): Promise<Rollback | null> {
  const { journal, store, artifacts } = context;
  const isDivergence = thrown instanceof LoraFleetError && thrown.param === DIVERGENCE_PARAM;
  const isAsked = spec.training.on_divergence === "halve_learning_rate" && journal.get(id).rollback === null;
  if (!isDivergence || !isAsked || signal.aborted) return null;
  const checkpoints = checkpointsOf(context, id);
  let good: CheckpointRecord | null = null;
  for (const checkpoint of checkpoints) {
    const isCandidate = checkpoint.step <= lastGoodStep && checkpoint.step > (initial?.step ?? 0) &&
      (checkpoint.commit ?? null) !== null;
    if (isCandidate && await artifacts.state(id, checkpoint.step).catch(() => null) !== null) {
      good = checkpoint;
    }
  }
  const step = good?.step ?? 0;
  const [kept, dropped] = [
    checkpoints.filter((one) => one.step <= step),
    checkpoints.filter((one) => one.step > step),
  ];
  await journal.write(() => {
    store.deleteCheckpoints(id);
    for (const checkpoint of kept) store.putCheckpoint(checkpoint);
  }, signal);
  for (const checkpoint of dropped) {
    // It is listed no more; its step is stored anew.
    await artifacts.drop(id, checkpoint.step).catch((thrown) =>
      context.onDefect(`the checkpoint of step ${checkpoint.step} of ${id} is left behind`, thrown)
    );
  }
  return { step, digest: good?.commit?.digest ?? null };
}

/** The plan of a job as its record says that it goes on. */
export async function planAfterRollback(
  { artifacts, store, journal }: Pick<JobContext, "artifacts" | "store" | "journal">,
  job: PlannedJob,
): Promise<PlannedJob> {
  const { rollback } = journal.get(job.id);
  if (rollback === null) return job;
  const { step, digest } = rollback;
  const specHash = createHash("sha256").update(canonicalJson({ specHash: job.specHash, rollback })).digest(
    "hex",
  );
  const halved = { ...job, specHash, halvedAfter: step };
  if (digest === null) return halved;
  const checkpoint = checkpointsOf({ store }, job.id).find((one) => one.step === step);
  // The state is dropped once a later one is stored, from which the job goes on then.
  const initial = checkpoint === undefined
    ? null
    : await openResumedState(artifacts, job.id, checkpoint, digest, await layoutOfJob(job)).catch(() => null);
  return { ...halved, initial };
}

/** By step in order. */
function checkpointsOf({ store }: Pick<JobContext, "store">, jobId: string): CheckpointRecord[] {
  const all: CheckpointRecord[] = [];
  for (let after: string | null = null;;) {
    const { items, hasMore } = store.checkpoints(jobId, { after, limit: 100 });
    all.push(...items);
    if (!hasMore) return all.sort((a, b) => a.step - b.step);
    after = items.at(-1)!.id;
  }
}

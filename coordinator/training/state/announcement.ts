/** The state of a step as announced to workers. */
import { createHash } from "node:crypto";
import { type Limits, roundWaitMs } from "../../../shared/protocol/limits.ts";
import type { StepState } from "../../../shared/protocol/messages_coordinator.ts";
import { isLoadable } from "./digest_kind.ts";
import type { FleetMember } from "./fleet_view.ts";
import { learningRateOf } from "./exponents.ts";
import { labelCountOf, ownersOf } from "./ledger.ts";
import type { TrainingPlan } from "./plan.ts";
import { gradientBytesOf, isStateStored, liveHolders, type Training } from "./training.ts";

/** The coordinator's name among the holders of a state; ids of workers begin with "w-". */
export const COORDINATOR_HOLDER = "coordinator";

export function stepStateOf(plan: TrainingPlan, training: Training, limits: Limits): StepState {
  const { step, phase, members, committed, ledger, digestKind } = training;
  const isSummed = phase === "reduce" || phase === "commit";
  return {
    ...{ jobId: plan.jobId, startId: plan.startId, revision: training.revision, step, term: training.term },
    ...{ attempt: training.attempt, generation: training.generation, phase },
    members: [...members],
    weights: [...training.weights],
    holders: committed === null || !isLoadable(committed) ? [] : [
      ...announcedHolders(training).map(({ worker }) => worker),
      ...isStateStored(training) ? [COORDINATOR_HOLDER] : [],
    ],
    ...isSummed && digestKind === "fingerprint" ? { digestKind } : {},
    quarantined: [...training.quarantined],
    committed: committed === null ? null : { step: committed.step, digest: committed.digest },
    microBatchCount: ledger.entries.length,
    exponents: training.exponents === null ? null : [...training.exponents],
    ledger: isSummed ? ownersOf(ledger, members) : [],
    assignments: phase === "compute" ? [...training.assignments] : [],
    labelCount: isSummed ? labelCountOf(ledger) : 0,
    learningRate: learningRateOf(plan, step),
    checkSeed: checkSeedOf(plan, training),
    roundMs: roundWaitMs(gradientBytesOf(training), limits),
    checkpointWriter: training.checkpointWriter,
  };
}

/** If all of them leave, one: it stays until another worker has its state. Of several each would rely on the others. */
function announcedHolders(training: Training): readonly FleetMember[] {
  const holders = liveHolders(training);
  return holders.every(({ draining }) => draining) ? holders.slice(0, 1) : holders;
}

/** One seed per attempt, independent of its members: micro-batches are checked before the round. */
function checkSeedOf({ checkKey = "", startId }: TrainingPlan, { term, step, attempt }: Training): number {
  return createHash("sha256").update(`${checkKey} ${startId} ${term} ${step} ${attempt}`).digest()
    .readUInt32LE(0);
}

/** The end of a round: every member has computed the update, and all of them the same. */
import type { DecisionContext } from "./state/context.ts";
import { encodeFloats } from "../../shared/protocol/messages_codec.ts";
import type { CommitEntry } from "../../shared/protocol/messages_coordinator.ts";
import type { UpdateReport } from "../../shared/protocol/messages_worker.ts";
import { totalsOf } from "./state/ledger.ts";
import { contradict, watchAccusers } from "./blame/accusations.ts";
import { auditTotals } from "./audits.ts";
import { abortAttempt, announced, isOfAttempt, type StepDecision, unchanged } from "./decision.ts";
import type { Training } from "./state/training.ts";
import { type SumsFault, sumsFault } from "./blame/sums.ts";

export function decideUpdate(
  context: DecisionContext,
  training: Training,
  report: UpdateReport,
): StepDecision {
  const { plan, now, limits } = context;
  const { worker, digest, gradientNorm, check } = report;
  const isOfRound = training.phase === "reduce" && report.generation === training.generation;
  if (!isOfRound || !isOfAttempt(training, report)) {
    return unchanged(training, `the update of ${worker} is of a round that is over`);
  }
  const updates = new Map(training.updates).set(worker, { digest, gradientNorm, check });
  const updated = { ...training, updates };
  if (updates.size < training.members.length) {
    return unchanged(updated, `${updates.size} of ${training.members.length} updates are there`);
  }
  const odd = minorityOf(updates);
  if (odd !== null) {
    return abortAttempt(context, updated, `the updates differ: ${describe(updates)}`, odd);
  }
  const fault = sumsFault(plan, updated);
  if (fault !== null) return doAgain(context, updated, fault);
  const { lossSum, labelCount, maxAbs } = totalsOf(training.ledger);
  const { excluded } = training.ledger;
  const entry: CommitEntry = {
    jobId: plan.jobId,
    startId: plan.startId,
    specHash: plan.specHash,
    step: training.step,
    attempt: training.attempt,
    generation: training.generation,
    digest,
    members: training.members.map(({ worker }) => worker),
    labelCount,
    loss: lossSum / labelCount,
    gradientNorm,
    maxAbs: encodeFloats(maxAbs),
    committedAt: now,
    excluded: [...excluded].sort(([a], [b]) => a - b).map(([index, workers]) => ({
      index,
      workers: [...workers],
    })),
    excludedTotal: (training.committed?.excludedTotal ?? 0) + excluded.size,
    audits: auditTotals(training),
  };
  const watched = watchAccusers(updated, true, limits);
  const change = { phase: "commit" as const, since: now, pending: entry };
  return announced(watched.training, change, "all updates agree", [
    ...watched.effects,
    { type: "append", entry, expectedLast: training.sequence },
  ]);
}

/** All have the same result, and it is not the sum of what they gave. */
function doAgain(context: DecisionContext, training: Training, fault: SumsFault): StepDecision {
  const { limits } = context;
  const isHeard = training.blackoutMs < limits.reconnectGraceMs;
  const contradicted = contradict(training, fault.disputed, limits);
  const said = [
    ...[...fault.wrong].map(([worker, why]) => `${worker} is wrong: ${why}`),
    ...fault.disputed.map(({ why }) => why),
  ];
  const why = `the sums do not add up: ${
    said.join("; ") || "and in a fleet of this size nobody can be named"
  }`;
  const told = isHeard ? contradicted : { training, effects: [] };
  const decision = abortAttempt(context, told.training, why, [...fault.wrong.keys()]);
  return { ...decision, effects: [...decision.effects, ...told.effects] };
}

/** Null where all digests are equal; else the workers whose digest is not the most frequent one, or none in a tie. */
function minorityOf(updates: Training["updates"]): string[] | null {
  const byDigest = Map.groupBy(updates, ([, { digest }]) => digest);
  if (byDigest.size === 1) return null;
  const groups = [...byDigest.values()].sort((a, b) => b.length - a.length);
  if (groups[0]!.length === groups[1]!.length) return [];
  return groups.slice(1).flat().map(([worker]) => worker);
}

function describe(updates: Training["updates"]): string {
  return [...updates].map(([worker, { digest }]) => `${worker} has ${digest.slice(0, 12)}`).join(", ");
}

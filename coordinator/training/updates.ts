/** The end of a round: every member has computed the update, and all updates are equal. */
import { isFingerprint } from "../../shared/protocol/state/state_digest.ts";
import { encodeFloats } from "../../shared/protocol/messages_codec.ts";
import type { CommitEntry } from "../../shared/protocol/messages_coordinator.ts";
import type { UpdateReport } from "../../shared/protocol/messages_worker.ts";
import { totalsOf } from "./state/ledger.ts";
import { contradict, watchAccusers } from "./blame/accusations.ts";
import { auditTotals } from "./audits.ts";
import { abortAttempt, announced, type Decision, isOfAttempt, unchanged } from "./decision.ts";
import { fadingMaxima } from "./state/exponents.ts";
import type { StepContext } from "./state/plan.ts";
import type { Training } from "./state/training.ts";
import { type SumsFault, sumsFault } from "./blame/sums.ts";

export function decideUpdate(context: StepContext, training: Training, report: UpdateReport): Decision {
  const { plan, now, limits } = context;
  const { worker, digest, gradientNorm, check } = report;
  const isOfRound = training.phase === "reduce" && report.generation === training.generation;
  if (!isOfRound || !isOfAttempt(training, report)) {
    return unchanged(training, `the update of ${worker} is of a round that is over`);
  }
  if (isFingerprint(digest) !== (training.digestKind === "fingerprint")) {
    const why = `${worker} reports a digest that is no ${training.digestKind}: ${digest.slice(0, 24)}`;
    return abortAttempt(context, training, why, [worker]);
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
  if (fault !== null) return redo(context, updated, fault);
  const { lossSum, labelCount, correctCount, maxAbs } = totalsOf(training.ledger);
  const { excluded } = training.ledger;
  const { jobId, startId, specHash } = plan;
  const { step, attempt, generation } = training;
  const entry: CommitEntry = {
    ...{
      jobId,
      startId,
      specHash,
      step,
      attempt,
      generation,
      digest,
      labelCount,
      correctCount,
      gradientNorm,
    },
    members: training.members.map(({ worker }) => worker),
    loss: lossSum / labelCount,
    maxAbs: encodeFloats(fadingMaxima(training.committed, maxAbs, limits)),
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
  const append = { type: "append" as const, entry, expectedLast: training.sequence };
  return announced(watched.training, change, "all updates agree", [...watched.effects, append]);
}

/** All members have the same result, but it is not the sum of their contributions. */
function redo(context: StepContext, training: Training, { wrong, disputed }: SumsFault): Decision {
  const { limits } = context;
  const found = [...wrong].map(([worker, why]) => `${worker} is wrong: ${why}`);
  const details = [...found, ...disputed.map(({ why }) => why)].join("; ");
  const why = `the sums do not add up: ${
    details || "in a fleet of this size the worker at fault cannot be named"
  }`;
  const isConnected = training.blackoutMs < limits.reconnectGraceMs;
  const blamed = isConnected ? contradict(training, disputed, limits) : { training, effects: [] };
  const decision = abortAttempt(context, blamed.training, why, [...wrong.keys()]);
  return { ...decision, effects: [...decision.effects, ...blamed.effects] };
}

/** Null if all digests are equal; else the workers without the most frequent digest, none in a tie. */
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

/**
 * Whether a round's result is the sum of what its members contributed, from their checksums alone (shared/protocol/linear_check.ts,
 * decision 0019). Replicas with equal digests may all hold the same wrong sum; this finds it, and the worker that caused it.
 *
 *     what m reports to have given o  =  what o reports to have received from m    else one of the two is wrong
 *     Σ of what o received            =  o's total                                 else o contradicts itself
 *     o's total                       =  o's result                                the same; not if a codec rounds totals
 *     o's result                      =  the result of o's range on all            else the one that differs from most
 *     all that m gave                 =  Σ of its micro-batches                    else m: if it has none, or all were audited
 */
import {
  addWords,
  CHECK_WORDS,
  MAX_LOCALISED_MEMBERS,
  sameWords,
  sumOfWords,
} from "../../../shared/protocol/linear_check.ts";
import { decodeChecksums } from "../../../shared/protocol/messages_codec.ts";
import type { RoundCheck } from "../../../shared/protocol/messages_worker.ts";
import type { Training } from "../state/training.ts";
import type { TrainingPlan } from "../state/plan.ts";

export interface SumsFault {
  /** Why a worker is wrong: it contradicts itself, or two others. */
  readonly wrong: ReadonlyMap<string, string>;
  /** Two workers that contradict each other, with no third one to decide. */
  readonly disputed: readonly { readonly one: string; readonly other: string; readonly why: string }[];
}

interface Checks {
  readonly given: Int32Array;
  readonly received: Int32Array;
  readonly total: Int32Array;
  readonly result: Int32Array;
}

/** Null if everything adds up. Requires all updates of the round, with equal digests. */
export function sumsFault(plan: TrainingPlan, training: Training): SumsFault | null {
  const members = training.members.map(({ worker }) => worker);
  if (members.length === 1) return null;
  const wrong = new Map<string, string>();
  const checks: Checks[] = [];
  for (const worker of members) {
    const check = readChecks(training.updates.get(worker)?.check ?? null, members.length);
    if (check !== null) checks.push(check);
    else wrong.set(worker, `it reported no checksums of a round of ${members.length} members`);
  }
  if (wrong.size > 0) return { wrong, disputed: [] };
  const isExact = (plan.gradientCodec ?? "exact") === "exact";
  if (isExact) findWrongContributions(training, members, checks, wrong);
  if (members.length > MAX_LOCALISED_MEMBERS) return faultInTotals(checks, isExact, wrong);
  const disputed = withoutDecided(contradictions(members, checks, isExact, wrong), wrong);
  return wrong.size === 0 && disputed.length === 0 ? null : { wrong, disputed };
}

/** Null if the shape does not fit the round. */
function readChecks(check: RoundCheck | null, memberCount: number): Checks | null {
  if (check === null) return null;
  const [given, received] = [decodeChecksums(check.given), decodeChecksums(check.received)];
  const [total, result] = [decodeChecksums(check.total), decodeChecksums(check.result)];
  const isPooled = memberCount > MAX_LOCALISED_MEMBERS;
  const count = isPooled ? CHECK_WORDS : CHECK_WORDS * memberCount;
  const isWhole = given.length === count && result.length === count && total.length === CHECK_WORDS &&
    received.length === (isPooled ? 0 : count);
  return isWhole ? { given, received, total, result } : null;
}

type Pair = SumsFault["disputed"][number];

/** Adds workers that contradict themselves to `wrong`; returns the contradictions between two. */
function contradictions(
  members: readonly string[],
  checks: readonly Checks[],
  isExact: boolean,
  wrong: Map<string, string>,
): Pair[] {
  const pairs: Pair[] = [];
  members.forEach((owner, o) => {
    const { received, total, result } = checks[o]!;
    const sum = new Int32Array(CHECK_WORDS);
    members.forEach((_, m) => addWords(sum, 0, received, CHECK_WORDS * m));
    const own = CHECK_WORDS * o;
    if (!sameWords(sum, 0, total, 0) || (isExact && !sameWords(total, 0, result, own))) {
      wrong.set(
        owner,
        "what it reports to have received for its range does not add up to the sum that it gave",
      );
    }
    members.forEach((sender, m) => {
      if (!sameWords(checks[m]!.given, own, received, CHECK_WORDS * m)) {
        if (m === o) wrong.set(owner, "it contradicts itself about its own part of its range");
        else {
          const why = `${sender} reports other sums given to ${owner} than ${owner} reports to have received`;
          pairs.push({ one: sender, other: owner, why });
        }
      }
      if (m !== o && !sameWords(checks[m]!.result, own, result, own)) {
        const why = `${sender} has a different sum of the range of ${owner} than ${owner} itself`;
        pairs.push({ one: sender, other: owner, why });
      }
    });
  });
  return pairs;
}

/** A worker that contradicts two others or more, and more than any of them, is wrong. Returns the rest. */
function withoutDecided(pairs: readonly Pair[], wrong: Map<string, string>): readonly Pair[] {
  let rest = pairs.filter(({ one, other }) => !wrong.has(one) && !wrong.has(other));
  for (;;) {
    const against = new Map<string, Set<string>>();
    for (const { one, other } of rest) {
      for (const [a, b] of [[one, other], [other, one]] as const) {
        against.set(a, (against.get(a) ?? new Set()).add(b));
      }
    }
    const [first, second] = [...against].sort(([, a], [, b]) => b.size - a.size);
    if (first === undefined || first[1].size < 2 || first[1].size === second?.[1].size) {
      return [...new Map(rest.map((pair) => [[pair.one, pair.other].sort().join(" "), pair])).values()];
    }
    const [worker, others] = first;
    wrong.set(worker, `its report contradicts those of ${[...others].sort().join(" and ")}`);
    rest = rest.filter(({ one, other }) => one !== worker && other !== worker);
  }
}

/** For a large fleet: whether the totals add up. Names only a worker that contradicts itself or an audit. */
function faultInTotals(
  checks: readonly Checks[],
  isExact: boolean,
  wrong: Map<string, string>,
): SumsFault | null {
  const sum = new Int32Array(CHECK_WORDS);
  for (const { given } of checks) addWords(sum, 0, given, 0);
  const isSound = checks.every(({ result }) =>
    sameWords(result, 0, checks[0]!.result, 0) && (!isExact || sameWords(sum, 0, result, 0))
  );
  return isSound && wrong.size === 0 ? null : { wrong, disputed: [] };
}

/** What a member has to contribute is known if it has no micro-batch, or if an auditor has recomputed all of them. */
function findWrongContributions(
  { ledger, audits }: Training,
  members: readonly string[],
  checks: readonly Checks[],
  wrong: Map<string, string>,
): void {
  members.forEach((worker, m) => {
    const sum = new Int32Array(CHECK_WORDS);
    let count = 0;
    for (const [index, entry] of ledger.entries.entries()) {
      if (entry?.worker !== worker) continue;
      const audit = audits.get(index);
      const check = audit?.rechecks[0]?.check ?? null;
      if (audit?.status !== "passed" || check === null) return;
      addWords(sum, 0, decodeChecksums(check), 0);
      count++;
    }
    if (sameWords(sum, 0, sumOfWords(checks[m]!.given), 0)) return;
    const why = count === 0
      ? "it gave sums, though it has no micro-batch in them"
      : "it gave other sums than those of the micro-batches that it was audited for";
    wrong.set(worker, why);
  });
}

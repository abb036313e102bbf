/**
 * Whether a round's result is the sum of what its members gave, by their checksums alone (shared/protocol/linear_check.ts, decision
 * 0019). Replicas whose digests are equal may all have the same wrong sum; this finds it, and whose word it was.
 *
 *     what m says it gave o      =  what o says it got from m        else one of the two is wrong
 *     Σ of what o got            =  o's total                        else o, by its own words
 *     o's total                  =  o's result                       the same; not where a codec rounds totals
 *     o's result                 =  the result of o's range on all   else whoever has another one than most
 *     what m gave, all together  =  Σ of its micro-batches           else m: where it has none, or all of them were audited
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
  /** Workers that are wrong by their own words, or by those of two others, and why. */
  readonly wrong: ReadonlyMap<string, string>;
  /** Two whose words contradict each other, where nobody else's decide. */
  readonly disputed: readonly { readonly one: string; readonly other: string; readonly why: string }[];
}

interface Checks {
  readonly given: Int32Array;
  readonly received: Int32Array;
  readonly total: Int32Array;
  readonly result: Int32Array;
}

/** Null where everything adds up. All updates of the round are there, with equal digests. */
export function sumsFault(plan: TrainingPlan, training: Training): SumsFault | null {
  const members = training.members.map(({ worker }) => worker);
  if (members.length === 1) return null;
  const wrong = new Map<string, string>();
  const checks = members.map((worker) => {
    const check = readChecks(training.updates.get(worker)?.check ?? null, members.length);
    if (check === null) {
      wrong.set(worker, `it told no checksums of a round of ${members.length} members`);
    }
    return check;
  });
  if (wrong.size > 0) return { wrong, disputed: [] };
  const told = checks as readonly Checks[];
  const isExact = (plan.gradientCodec ?? "exact") === "exact";
  if (isExact) findAnotherGradient(training, members, told, wrong);
  if (members.length > MAX_LOCALISED_MEMBERS) return inAll(told, isExact, wrong);
  const pairs = contradictions(members, told, isExact, wrong);
  const disputed = withoutDecided(pairs, wrong);
  return wrong.size === 0 && disputed.length === 0 ? null : { wrong, disputed };
}

/** Null where its shape is not that of the round. */
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

/** Workers that contradict themselves go to `wrong`; the rest are pairs. */
function contradictions(
  members: readonly string[],
  told: readonly Checks[],
  isExact: boolean,
  wrong: Map<string, string>,
): Pair[] {
  const pairs: Pair[] = [];
  members.forEach((owner, o) => {
    const { received, total, result } = told[o]!;
    const sum = new Int32Array(CHECK_WORDS);
    members.forEach((_, m) => addWords(sum, 0, received, CHECK_WORDS * m));
    const own = CHECK_WORDS * o;
    if (!sameWords(sum, 0, total, 0) || (isExact && !sameWords(total, 0, result, own))) {
      wrong.set(owner, `what it says it has got for its range does not add up to the sum that it gave`);
    }
    members.forEach((sender, m) => {
      if (!sameWords(told[m]!.given, own, received, CHECK_WORDS * m)) {
        if (m === o) wrong.set(owner, `it says two different things about its own part of its range`);
        else {
          const why = `${sender} says that it gave ${owner} other sums than ${owner} says it has got`;
          pairs.push({ one: sender, other: owner, why });
        }
      }
      if (m !== o && !sameWords(told[m]!.result, own, result, own)) {
        const why = `${sender} has another sum of the range of ${owner} than ${owner} itself`;
        pairs.push({ one: sender, other: owner, why });
      }
    });
  });
  return pairs;
}

/** Whoever contradicts two others or more, and more than any of them, is wrong. What is left is disputed. */
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
    wrong.set(worker, `its word stands against those of ${[...others].sort().join(" and ")}`);
    rest = rest.filter(({ one, other }) => one !== worker && other !== worker);
  }
}

/** The totals of a large fleet: wrong or not, and nobody is named but who is alone with its result. */
function inAll(told: readonly Checks[], isExact: boolean, wrong: Map<string, string>): SumsFault | null {
  const sum = new Int32Array(CHECK_WORDS);
  for (const { given } of told) addWords(sum, 0, given, 0);
  const isSound = told.every(({ result }) =>
    sameWords(result, 0, told[0]!.result, 0) && (!isExact || sameWords(sum, 0, result, 0))
  );
  return isSound && wrong.size === 0 ? null : { wrong, disputed: [] };
}

/** Members that have no micro-batch, or all of whose another worker has computed, too: what they have to give is known. */
function findAnotherGradient(
  training: Training,
  members: readonly string[],
  told: readonly Checks[],
  wrong: Map<string, string>,
): void {
  const { ledger, audits } = training;
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
    if (sameWords(sum, 0, sumOfWords(told[m]!.given), 0)) return;
    wrong.set(
      worker,
      count === 0
        ? "it gave sums, though it has no micro-batch in them"
        : "it gave other sums than those of the micro-batches that it was audited for",
    );
  });
}

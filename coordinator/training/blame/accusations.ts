/**
 * What workers say about each other (decision 0019). One accuser never costs anybody anything: a strike needs two who accuse
 * the same worker, independently, within a few steps. Who accuses alone is watched itself.
 *
 *     two different accusers, one accused          a strike for the accused
 *     alone, two workers or more at once           a strike for the accuser, unless somebody confirms it in the next attempt
 *     alone, one worker, three members or more     the two own nothing of the gradient from now on, so that neither waits for
 *                                                  the other; every second time a strike for the accuser
 *     alone, of one that owes it nothing           a strike for the accuser: it cannot have waited for it
 *     of two members                               nobody can tell: told as unresolved, and the attempt is done again
 *
 * Whoever accuses itself is believed (step.ts).
 */
import type { Limits } from "../../../shared/protocol/limits.ts";
import { blame, type Blamed } from "./strikes.ts";
import type { StepEffect } from "../state/effects.ts";
import type { Accusation, AttemptSeen, Training } from "../state/training.ts";

/** A worker's word about others. Its own failure is not among them. */
export function accuse(
  training: Training,
  seen: AttemptSeen,
  accuser: string,
  suspects: readonly string[],
  why: string,
  limits: Limits,
): Blamed {
  const memberCount = seen.members.length;
  const accused = [...new Set(suspects)].filter((worker) =>
    worker !== accuser && seen.members.some((member) => member.worker === worker) &&
    !isSaid(training, seen, accuser, worker)
  );
  if (accused.length === 0) return { training, effects: [] };
  const impossible = accused.filter((worker) => owesNothing(seen, accuser, worker));
  if (impossible.length > 0) {
    const reason = `step ${seen.step}: it accuses ${impossible.join(", ")}, from whom nothing was due to it`;
    return blame(training, [accuser], reason, limits);
  }
  const { step, attempt } = seen;
  const said = accused.map((worker): Accusation => ({
    ...{ accuser, accused: worker, step, attempt, why, memberCount, status: "open" },
  }));
  const heard = { ...training, accusations: [...recent(training, limits), ...said] };
  const confirmed = strikeConfirmed(heard, accused, limits);
  const alone = accused.filter((worker) => confirmed.training.accusations.some(isOf(accuser, worker)));
  if (alone.length !== 1) return confirmed;
  return unresolved(confirmed, accuser, alone[0]!, memberCount);
}

/** The coordinator has seen that the words of two contradict each other: each accuses the other. */
export function contradict(
  training: Training,
  pairs: readonly { readonly one: string; readonly other: string; readonly why: string }[],
  limits: Limits,
): Blamed {
  const { step, attempt, members } = training;
  const said = pairs.flatMap(({ one, other, why }) =>
    [[one, other], [other, one]].map(([accuser, accused]): Accusation => ({
      ...{ accuser: accuser!, accused: accused!, step, attempt, why, memberCount: members.length },
      status: "mutual",
    }))
  );
  const heard = { ...training, accusations: [...recent(training, limits), ...said] };
  let blamed = strikeConfirmed(heard, pairs.flatMap(({ one, other }) => [one, other]), limits);
  for (const { one, other } of pairs) {
    if (
      blamed.training.accusations.some(isOf(one, other)) && blamed.training.accusations.some(isOf(other, one))
    ) {
      blamed = unresolved(blamed, one, other, members.length);
    }
  }
  return blamed;
}

/**
 * An attempt ends: whoever accused others in an earlier one has been alone with it by now. Accusers get strikes for as much as
 * nobody else has seen.
 * @param isDone whether the attempt has ended well, so that its own accusations are over, too
 */
export function watchAccusers(training: Training, isDone: boolean, limits: Limits): Blamed {
  const isPast = ({ step, attempt }: Accusation) =>
    isDone || step < training.step || attempt < training.attempt;
  const isDue = (one: Accusation) => one.status === "open" && isPast(one);
  const due = training.accusations.filter(isDue);
  if (due.length === 0) return { training, effects: [] };
  const accusations = training.accusations.map((one) =>
    isDue(one) ? { ...one, status: "watched" as const } : one
  );
  let blamed: Blamed = { training: { ...training, accusations }, effects: [] };
  // Of two nobody can say who is alone.
  const judged = due.filter(({ memberCount }) => memberCount > 2);
  const attempts = Map.groupBy(judged, ({ accuser, step, attempt }) => `${accuser} ${step} ${attempt}`);
  for (
    const [{ accuser, step, attempt }, ...more] of attempts.values() as Iterable<
      [Accusation, ...Accusation[]]
    >
  ) {
    const names = due.filter((one) => one.accuser === accuser && one.step === step && one.attempt === attempt)
      .map(({ accused }) => accused);
    const count = (blamed.training.loneAccusations.get(accuser) ?? 0) + 1;
    const isStruck = more.length > 0 || count >= limits.loneAccusationsUntilStrike;
    const loneAccusations = new Map(blamed.training.loneAccusations).set(accuser, isStruck ? 0 : count);
    blamed = { ...blamed, training: { ...blamed.training, loneAccusations } };
    if (!isStruck) continue;
    const reason = `step ${step}: it alone accuses ${names.join(", ")}, and nobody else does`;
    const { training: next, effects } = blame(blamed.training, [accuser], reason, limits);
    const event: StepEffect = {
      type: "event",
      level: "warn",
      message: `A strike for ${accuser}: ${reason}.`,
    };
    blamed = { training: next, effects: [...blamed.effects, event, ...effects] };
  }
  return blamed;
}

/** Workers that own nothing of the gradient, since another one's word stands against theirs. */
export function apart({ disputes }: Pick<Training, "disputes">): ReadonlySet<string> {
  return new Set(disputes.flat());
}

/** What a user reads of a worker: what it says about others, and what others say about it. */
export function accusationsOf(accusations: readonly Accusation[]): ReadonlyMap<string, readonly string[]> {
  const lines = accusations.flatMap(({ accuser, accused, step, attempt, why }) => {
    const where = `in attempt ${attempt} of step ${step}`;
    return [[accuser, `accuses ${accused} ${where}: ${why}`], [
      accused,
      `is accused by ${accuser} ${where}: ${why}`,
    ]];
  });
  const byWorker = Map.groupBy(lines, ([worker]) => worker!);
  return new Map([...byWorker].map(([worker, said]) => [worker, said.map(([, line]) => line!)]));
}

/** Everybody of whom two others say the same; what was said about them is used up. */
function strikeConfirmed(training: Training, accused: readonly string[], limits: Limits): Blamed {
  let blamed: Blamed = { training, effects: [] };
  for (const worker of new Set(accused)) {
    const against = blamed.training.accusations.filter((one) => one.accused === worker);
    const accusers = [...new Set(against.map(({ accuser }) => accuser))].sort();
    if (accusers.length < 2) continue;
    const { step, why } = against.at(-1)!;
    const reason = `step ${step}: ${accusers.join(" and ")} accuse it: ${why}`;
    const settled: Training = {
      ...blamed.training,
      // It has contradicted others as well: that they did so is no evidence against them.
      accusations: blamed.training.accusations.filter((one) =>
        one.accused !== worker && !(one.accuser === worker && one.status === "mutual")
      ),
      disputes: blamed.training.disputes.filter((pair) => !pair.includes(worker)),
    };
    const { training: next, effects } = blame(settled, [worker], reason, limits);
    const event: StepEffect = { type: "event", level: "warn", message: `A strike for ${worker}: ${reason}.` };
    blamed = { training: next, effects: [...blamed.effects, event, ...effects] };
  }
  return blamed;
}

/** One says so and nobody else: the two are kept from each other where there are more of them. */
function unresolved(blamed: Blamed, accuser: string, accused: string, memberCount: number): Blamed {
  const { training, effects } = blamed;
  if (memberCount <= 2) {
    const message =
      `The words of ${accuser} and ${accused} contradict each other, and nobody else is there who could tell ` +
      `which of the two is wrong: neither gets a strike. A third worker would show it.`;
    return { training, effects: [...effects, { type: "event", level: "warn", message }] };
  }
  const isKnown = training.disputes.some((pair) => pair.includes(accuser) && pair.includes(accused));
  if (isKnown) return blamed;
  const message =
    `The word of ${accuser} stands against that of ${accused}: until a third worker's word decides it, ` +
    `neither of them owns a part of the gradient.`;
  return {
    training: { ...training, disputes: [...training.disputes, [accuser, accused]] },
    effects: [...effects, { type: "event", level: "warn", message }],
  };
}

/** Those that still count: of these steps, and by workers whose word counts. */
function recent({ accusations, step, quarantined }: Training, limits: Limits): readonly Accusation[] {
  return accusations.filter((one) =>
    one.step > step - limits.accusationWindowSteps && !quarantined.has(one.accuser)
  );
}

const isOf = (accuser: string, accused: string) => (one: Accusation) =>
  one.accuser === accuser && one.accused === accused;

function isSaid(
  { accusations }: Training,
  { step, attempt }: AttemptSeen,
  accuser: string,
  accused: string,
): boolean {
  return accusations.some((one) =>
    isOf(accuser, accused)(one) && one.step === step && one.attempt === attempt
  );
}

/** Members send each other what belongs to the range of one of them; two that own nothing have nothing for each other. */
function owesNothing({ members, weights }: AttemptSeen, one: string, other: string): boolean {
  const weightOf = (worker: string) => weights[members.findIndex((member) => member.worker === worker)] ?? 1;
  return weightOf(one) === 0 && weightOf(other) === 0;
}

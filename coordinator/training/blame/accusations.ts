/**
 * What workers report about each other (decision 0019). A single accuser never costs the accused anything: a strike needs two
 * accusers of the same worker, independent of each other, within a few steps. A lone accuser is watched itself.
 *
 *     two different accusers, one accused          a strike for the accused
 *     alone, two workers or more at once           a strike for the accuser, unless confirmed in the next attempt
 *     alone, one worker, three members or more     the two own nothing of the gradient from now on, so that neither waits for
 *                                                  the other; every second time a strike for the accuser
 *     alone, of one that owes it nothing           a strike for the accuser: it cannot have waited for it
 *     of two members                               undecidable: reported as such, and the attempt is repeated
 *
 * A worker that accuses itself is believed (failures.ts).
 */
import type { Limits } from "../../../shared/protocol/limits.ts";
import { blame, type Blamed } from "./strikes.ts";
import { warning } from "../state/effects.ts";
import type { Accusation, AttemptSeen, Training } from "../state/training.ts";

/** A worker accuses others. An accusation of itself is for the caller (failures.ts). */
export function accuse(
  training: Training,
  seen: AttemptSeen,
  accuser: string,
  suspects: readonly string[],
  why: string,
  limits: Limits,
): Blamed {
  const { step, attempt, members } = seen;
  const isKnown = (worker: string) =>
    training.accusations.some((one) =>
      isOf(accuser, worker)(one) && one.step === step && one.attempt === attempt
    );
  const accused = [...new Set(suspects)].filter((worker) =>
    worker !== accuser && members.some((member) => member.worker === worker) && !isKnown(worker)
  );
  if (accused.length === 0) return { training, effects: [] };
  const impossible = accused.filter((worker) => owesNothing(seen, accuser, worker));
  if (impossible.length > 0) {
    const reason = `step ${step}: it accuses ${impossible.join(", ")}, from whom nothing was due to it`;
    return blame(training, [accuser], reason, limits);
  }
  const memberCount = members.length;
  const added = accused.map((worker): Accusation => ({
    ...{ accuser, accused: worker, step, attempt, why, memberCount, status: "open" },
  }));
  const heard = { ...training, accusations: [...recent(training, limits), ...added] };
  const confirmed = strikeConfirmed(heard, accused, limits);
  const alone = accused.filter((worker) => confirmed.training.accusations.some(isOf(accuser, worker)));
  if (alone.length !== 1) return confirmed;
  return unresolved(confirmed, accuser, alone[0]!, memberCount);
}

/** Two workers' checksums contradict each other, as the coordinator has seen: each accuses the other. */
export function contradict(
  training: Training,
  pairs: readonly { readonly one: string; readonly other: string; readonly why: string }[],
  limits: Limits,
): Blamed {
  const { step, attempt, members } = training;
  const added = pairs.flatMap(({ one, other, why }) =>
    [[one, other], [other, one]].map(([accuser, accused]): Accusation => ({
      ...{ accuser: accuser!, accused: accused!, step, attempt, why, memberCount: members.length },
      status: "mutual",
    }))
  );
  const heard = { ...training, accusations: [...recent(training, limits), ...added] };
  let blamed = strikeConfirmed(heard, pairs.flatMap(({ one, other }) => [one, other]), limits);
  for (const { one, other } of pairs) {
    const { accusations } = blamed.training;
    if (accusations.some(isOf(one, other)) && accusations.some(isOf(other, one))) {
      blamed = unresolved(blamed, one, other, members.length);
    }
  }
  return blamed;
}

/**
 * An attempt ends: accusations of earlier ones that no second worker has confirmed are lone by now, and may earn the accuser a
 * strike.
 * @param isDone whether the attempt has succeeded, which settles its own accusations as well
 */
export function watchAccusers(training: Training, isDone: boolean, limits: Limits): Blamed {
  const isDue = ({ status, step, attempt }: Accusation) =>
    status === "open" && (isDone || step < training.step || attempt < training.attempt);
  const due = training.accusations.filter(isDue);
  if (due.length === 0) return { training, effects: [] };
  const accusations = training.accusations.map((one) =>
    isDue(one) ? { ...one, status: "watched" as const } : one
  );
  let blamed: Blamed = { training: { ...training, accusations }, effects: [] };
  // Between two members it is undecidable which of them is alone.
  const judged = due.filter(({ memberCount }) => memberCount > 2);
  const attempts = Map.groupBy(judged, ({ accuser, step, attempt }) => `${accuser} ${step} ${attempt}`);
  for (const together of attempts.values()) {
    const { accuser, step, attempt } = together[0]!;
    const names = due.filter((one) => one.accuser === accuser && one.step === step && one.attempt === attempt)
      .map(({ accused }) => accused);
    const count = (blamed.training.loneAccusations.get(accuser) ?? 0) + 1;
    const isStruck = together.length > 1 || count >= limits.loneAccusationsUntilStrike;
    const loneAccusations = new Map(blamed.training.loneAccusations).set(accuser, isStruck ? 0 : count);
    blamed = { ...blamed, training: { ...blamed.training, loneAccusations } };
    const reason = `step ${step}: it alone accuses ${names.join(", ")}`;
    if (isStruck) blamed = withStrike(blamed, accuser, reason, limits);
  }
  return blamed;
}

/** Workers that own nothing of the gradient, since their report and that of a different worker contradict each other. */
export function apart({ disputes }: Pick<Training, "disputes">): ReadonlySet<string> {
  return new Set(disputes.flat());
}

/** For the user, by worker: whom it accuses, and who accuses it. */
export function accusationsOf(accusations: readonly Accusation[]): ReadonlyMap<string, readonly string[]> {
  const lines = accusations.flatMap(({ accuser, accused, step, attempt, why }) => {
    const detail = `in attempt ${attempt} of step ${step}: ${why}`;
    return [[accuser, `accuses ${accused} ${detail}`], [accused, `is accused by ${accuser} ${detail}`]];
  });
  const byWorker = Map.groupBy(lines, ([worker]) => worker!);
  return new Map([...byWorker].map(([worker, own]) => [worker, own.map(([, line]) => line!)]));
}

/** Strikes for workers with two accusers, whose accusations are thereby used up. */
function strikeConfirmed(training: Training, accused: readonly string[], limits: Limits): Blamed {
  let blamed: Blamed = { training, effects: [] };
  for (const worker of new Set(accused)) {
    const { accusations, disputes } = blamed.training;
    const against = accusations.filter((one) => one.accused === worker);
    const accusers = [...new Set(against.map(({ accuser }) => accuser))].sort();
    if (accusers.length < 2) continue;
    const { step, why } = against.at(-1)!;
    const settled: Training = {
      ...blamed.training,
      // Its contradictions with others are no evidence against them.
      accusations: accusations.filter((one) =>
        one.accused !== worker && !(one.accuser === worker && one.status === "mutual")
      ),
      disputes: disputes.filter((pair) => !pair.includes(worker)),
    };
    const reason = `step ${step}: ${accusers.join(" and ")} accuse it: ${why}`;
    blamed = withStrike({ ...blamed, training: settled }, worker, reason, limits);
  }
  return blamed;
}

/** One strike more, with an event that gives the reason. */
function withStrike({ training, effects }: Blamed, worker: string, reason: string, limits: Limits): Blamed {
  const blamed = blame(training, [worker], reason, limits);
  const event = warning(`A strike for ${worker}: ${reason}.`);
  return { training: blamed.training, effects: [...effects, event, ...blamed.effects] };
}

/** Only one worker accuses: with three members or more the two are kept apart. */
function unresolved(blamed: Blamed, accuser: string, accused: string, memberCount: number): Blamed {
  const { training, effects } = blamed;
  if (memberCount <= 2) {
    const message =
      `The reports of ${accuser} and ${accused} contradict each other. With two members it cannot be decided ` +
      `which is wrong, so neither gets a strike; a third worker would decide it.`;
    return { training, effects: [...effects, warning(message)] };
  }
  const isKnown = training.disputes.some((pair) => pair.includes(accuser) && pair.includes(accused));
  if (isKnown) return blamed;
  const message =
    `The reports of ${accuser} and ${accused} contradict each other: until a third worker's report decides it, ` +
    `neither of them owns a part of the gradient.`;
  return {
    training: { ...training, disputes: [...training.disputes, [accuser, accused]] },
    effects: [...effects, warning(message)],
  };
}

/** Accusations that still count: of the last steps, by workers that are not in quarantine. */
function recent({ accusations, step, quarantined }: Training, limits: Limits): readonly Accusation[] {
  return accusations.filter((one) =>
    one.step > step - limits.accusationWindowSteps && !quarantined.has(one.accuser)
  );
}

const isOf = (accuser: string, accused: string) => (one: Accusation) =>
  one.accuser === accuser && one.accused === accused;

/** Members exchange only what belongs to the range of one of them: two that own nothing owe each other nothing. */
function owesNothing({ members, weights }: AttemptSeen, one: string, other: string): boolean {
  const weightOf = (worker: string) => weights[members.findIndex((member) => member.worker === worker)] ?? 1;
  return weightOf(one) === 0 && weightOf(other) === 0;
}

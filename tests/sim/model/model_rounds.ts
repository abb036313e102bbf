/**
 * The all-reduce of model workers: a barrier that takes the time of its bytes, and gives all members the sum of what each of
 * them really has. It stands still while one of them cannot be reached, and never ends where one is gone.
 */
import type { StepState } from "../../../shared/messages.ts";
import { digestAfter, type Sums, total } from "./contribution.ts";
import { type BrokerSpeed, type LinkSpeed, roundMs } from "./link_model.ts";
import type { Timetable } from "./timetable.ts";

/** What the members of a round have after it. */
export interface RoundResult {
  /** Of the state that follows from a state with this digest. */
  digestAfter(before: string): string;
}

export interface RoundMember {
  readonly worker: string;
  readonly link: { readonly speed: LinkSpeed; readonly isReachable: boolean };
}

export interface Rounds {
  /** Enters the state's round with these sums; `take` is called when it is over, if ever. */
  enter(state: StepState, member: RoundMember, sums: Sums, take: (result: RoundResult) => void): void;
  /** Members that a round waits for. */
  missingIn(state: StepState): string[];
  /** A worker can be reached again, or no more. */
  reachChanged(worker: string): void;
}

export interface RoundsOptions {
  readonly timetable: Timetable;
  readonly broker: BrokerSpeed;
  /** Bytes of one gradient as it is on the wire. */
  readonly gradientBytes: number;
  /** After an interruption what got lost is asked for again (decision 6, receipts). */
  readonly repeatMs: number;
  /** Told of each sum that is made. */
  readonly onSummed: (digest: string, parts: readonly Sums[]) => void;
}

interface Entered {
  readonly member: RoundMember;
  readonly sums: Sums;
  readonly take: (result: RoundResult) => void;
}

interface Round {
  readonly state: StepState;
  readonly entered: Map<string, Entered>;
  /** Null until everybody has entered. */
  leftMs: number | null;
  /** Since when it goes on; null while it stands still. */
  goesSince: number | null;
  readonly unreachable: Set<string>;
  /** Makes the end that was planned before an interruption void. */
  plan: number;
}

export function createRounds(options: RoundsOptions): Rounds {
  const { timetable, broker, gradientBytes, repeatMs, onSummed } = options;
  /** Few: the newest one, and what a coordinator's restart has left. */
  const rounds = new Map<string, Round>();
  const keyOf = ({ startId, term, step, attempt, generation }: StepState) =>
    [startId, term, step, attempt, generation].join(" ");

  function roundOf(state: StepState): Round {
    const key = keyOf(state);
    const known = rounds.get(key);
    if (known !== undefined) return known;
    // Nobody finishes an older one any more: whoever is still in it will hear that it is over.
    for (const [other, { state: { generation } }] of rounds) {
      if (generation < state.generation) rounds.delete(other);
    }
    const round: Round = {
      ...{ state, entered: new Map(), leftMs: null, goesSince: null, unreachable: new Set(), plan: 0 },
    };
    rounds.set(key, round);
    return round;
  }

  function enter(
    state: StepState,
    member: RoundMember,
    sums: Sums,
    take: (result: RoundResult) => void,
  ): void {
    const round = roundOf(state);
    round.entered.set(member.worker, { member, sums, take });
    if (!member.link.isReachable) round.unreachable.add(member.worker);
    if (round.entered.size < state.members.length) return;
    const links = state.members.map(({ worker }) => round.entered.get(worker)!.member.link.speed);
    round.leftMs = roundMs(links, state.weights, gradientBytes, broker);
    goOn(round);
  }

  /** Plans the end, if nobody is missing. */
  function goOn(round: Round): void {
    if (round.leftMs === null || round.unreachable.size > 0) return;
    const plan = ++round.plan;
    round.goesSince = timetable.now;
    timetable.after(round.leftMs, () => {
      if (round.plan === plan && rounds.has(keyOf(round.state))) finish(round);
    });
  }

  function standStill(round: Round): void {
    if (round.leftMs === null || round.goesSince === null) return;
    round.leftMs = Math.max(0, round.leftMs - (timetable.now - round.goesSince)) + repeatMs;
    round.goesSince = null;
    round.plan++;
  }

  function finish(round: Round): void {
    rounds.delete(keyOf(round.state));
    const entered = round.state.members.map(({ worker }) => round.entered.get(worker)!);
    const parts = entered.map(({ sums }) => sums);
    const words = total(parts);
    const digests = new Map<string, string>();
    const result: RoundResult = {
      digestAfter(before) {
        const known = digests.get(before);
        if (known !== undefined) return known;
        const digest = digestAfter(before, words);
        digests.set(before, digest);
        onSummed(digest, parts);
        return digest;
      },
    };
    for (const { take } of entered) take(result);
  }

  return {
    enter,
    missingIn: (state) => {
      const round = rounds.get(keyOf(state));
      if (round === undefined) return [];
      return state.members.map(({ worker }) => worker).filter((worker) =>
        !round.entered.has(worker) || round.unreachable.has(worker)
      );
    },
    reachChanged: (worker) => {
      for (const round of rounds.values()) {
        const entered = round.entered.get(worker);
        if (entered === undefined) continue;
        if (!entered.member.link.isReachable) {
          standStill(round);
          round.unreachable.add(worker);
        } else if (round.unreachable.delete(worker) && round.goesSince === null) goOn(round);
      }
    },
  };
}

/**
 * The all-reduce of model workers: a barrier that takes the time of its bytes, and gives all members the sum of what each of
 * them really has. A member that cannot be reached for a while goes on where it was, and asks for what it has missed; without
 * one that is gone the round never ends.
 */
import type { StepState } from "../../../../shared/protocol/messages_coordinator.ts";
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
  readonly link: { readonly speed: LinkSpeed; readonly isReachable: boolean; readonly isCut: boolean };
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
  /** After a cut what got lost is asked for again (decision 6, receipts); what waits for a stalled process is not lost. */
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
  endAt: number | null;
  /** Who cannot be reached now, how long it would have needed from then on, and what of that may have got lost. */
  readonly interrupted: Map<string, { readonly leftMs: number; readonly isCut: boolean }>;
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
    for (const [other, { state: { term, generation } }] of rounds) {
      if (term < state.term || (term === state.term && generation < state.generation)) rounds.delete(other);
    }
    const round: Round = { state, entered: new Map(), endAt: null, interrupted: new Map() };
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
    if (!member.link.isReachable) {
      round.interrupted.set(member.worker, { leftMs: 0, isCut: member.link.isCut });
    }
    if (round.entered.size < state.members.length) return;
    const links = state.members.map(({ worker }) => round.entered.get(worker)!.member.link.speed);
    round.endAt = timetable.now + Math.ceil(roundMs(links, state.weights, gradientBytes, broker));
    endInTime(round);
  }

  /** Ends it when its time has come and nobody is missing. */
  function endInTime(round: Round): void {
    const { endAt, interrupted, state } = round;
    if (endAt === null || interrupted.size > 0) return;
    timetable.after(endAt - timetable.now, () => {
      // Interrupted meanwhile, it is looked at again when that is over.
      if (rounds.has(keyOf(state)) && round.interrupted.size === 0 && timetable.now >= round.endAt!) {
        finish(round);
      }
    });
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
        !round.entered.has(worker) || round.interrupted.has(worker)
      );
    },
    reachChanged: (worker) => {
      for (const round of rounds.values()) {
        const entered = round.entered.get(worker);
        if (entered === undefined) continue;
        const { isReachable, isCut } = entered.member.link;
        const before = round.interrupted.get(worker);
        if (!isReachable) {
          const leftMs = before?.leftMs ?? Math.max(0, (round.endAt ?? 0) - timetable.now);
          round.interrupted.set(worker, { leftMs, isCut: isCut || before?.isCut === true });
        } else if (before !== undefined) {
          round.interrupted.delete(worker);
          const restMs = Math.max(before.leftMs, before.isCut ? repeatMs : 0);
          if (round.endAt !== null) round.endAt = Math.max(round.endAt, timetable.now + restMs);
          endInTime(round);
        }
      }
    },
  };
}

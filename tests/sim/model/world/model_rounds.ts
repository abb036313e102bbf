/**
 * The all-reduce of model workers: a barrier that takes the time of its bytes, and gives all members the sum of the parts that
 * they really hold. A member that is out of reach for a while continues where it was, and asks again for lost chunks; a round
 * never ends without a member that is gone.
 */
import type { StepState } from "../../../../shared/protocol/messages_coordinator.ts";
import { digestAfter, type Sums, total } from "./contribution.ts";
import { type BrokerSpeed, type LinkSpeed, roundMs } from "./link_model.ts";
import type { Timetable } from "./timetable.ts";

/** The result that all members of a round share. */
export interface RoundResult {
  /** Digest of the state that follows from the state with digest `before`. */
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
  /** Reports that a worker's reachability may have changed. */
  reachChanged(worker: string): void;
}

export interface RoundsOptions {
  readonly timetable: Timetable;
  readonly broker: BrokerSpeed;
  /** Bytes of one gradient as it is on the wire. */
  readonly gradientBytes: number;
  /** How long after a cut lost chunks are asked for again (decision 6, receipts); a stall loses none. */
  readonly repeatMs: number;
  /** Called for each sum. */
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
  /** Null until all members have entered. */
  endAt: number | null;
  /** Members out of reach: the time that they had left, and whether a cut may have lost chunks of theirs. */
  readonly interrupted: Map<string, { readonly leftMs: number; readonly isCut: boolean }>;
}

export function createRounds(options: RoundsOptions): Rounds {
  return new ModelRounds(options);
}

class ModelRounds implements Rounds {
  readonly #options: RoundsOptions;
  /** Few: the newest one, and those that a coordinator's restart left. */
  readonly #rounds = new Map<string, Round>();

  constructor(options: RoundsOptions) {
    this.#options = options;
  }

  enter(state: StepState, member: RoundMember, sums: Sums, take: (result: RoundResult) => void): void {
    const { timetable, broker, gradientBytes } = this.#options;
    const round = this.#roundOf(state);
    round.entered.set(member.worker, { member, sums, take });
    if (!member.link.isReachable) {
      round.interrupted.set(member.worker, { leftMs: 0, isCut: member.link.isCut });
    }
    if (round.entered.size < state.members.length) return;
    const links = state.members.map(({ worker }) => round.entered.get(worker)!.member.link.speed);
    round.endAt = timetable.now + Math.ceil(roundMs(links, state.weights, gradientBytes, broker));
    this.#endInTime(round);
  }

  missingIn(state: StepState): string[] {
    const round = this.#rounds.get(keyOf(state));
    if (round === undefined) return [];
    return state.members.map(({ worker }) => worker).filter((worker) =>
      !round.entered.has(worker) || round.interrupted.has(worker)
    );
  }

  reachChanged(worker: string): void {
    const { timetable, repeatMs } = this.#options;
    for (const round of this.#rounds.values()) {
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
        this.#endInTime(round);
      }
    }
  }

  #roundOf(state: StepState): Round {
    const key = keyOf(state);
    const known = this.#rounds.get(key);
    if (known !== undefined) return known;
    // Older rounds can no longer end: their members will learn that they are over.
    for (const [other, { state: { term, generation } }] of this.#rounds) {
      if (term < state.term || (term === state.term && generation < state.generation)) {
        this.#rounds.delete(other);
      }
    }
    const round: Round = { state, entered: new Map(), endAt: null, interrupted: new Map() };
    this.#rounds.set(key, round);
    return round;
  }

  /** Ends the round at its time if no member is missing. */
  #endInTime(round: Round): void {
    const { timetable } = this.#options;
    const { endAt, interrupted, state } = round;
    if (endAt === null || interrupted.size > 0) return;
    timetable.after(endAt - timetable.now, () => {
      // If it has been interrupted meanwhile, the end of the interruption schedules it again.
      if (this.#rounds.has(keyOf(state)) && round.interrupted.size === 0 && timetable.now >= round.endAt!) {
        this.#finish(round);
      }
    });
  }

  #finish({ state, entered }: Round): void {
    this.#rounds.delete(keyOf(state));
    const members = state.members.map(({ worker }) => entered.get(worker)!);
    const result = resultOf(members.map(({ sums }) => sums), this.#options.onSummed);
    for (const { take } of members) take(result);
  }
}

function keyOf({ startId, term, step, attempt, generation }: StepState): string {
  return [startId, term, step, attempt, generation].join(" ");
}

/** Hashes once for each state before. */
function resultOf(parts: readonly Sums[], onSummed: RoundsOptions["onSummed"]): RoundResult {
  const words = total(parts);
  const digests = new Map<string, string>();
  return {
    digestAfter(before) {
      const known = digests.get(before);
      if (known !== undefined) return known;
      const digest = digestAfter(before, words);
      digests.set(before, digest);
      onSummed(digest, parts);
      return digest;
    },
  };
}

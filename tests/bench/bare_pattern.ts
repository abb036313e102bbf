/**
 * The bytes of an all-reduce without the all-reduce: the same publishes of the same sizes, reduce-scatter and then fan-out,
 * over the same bus. No frames, no checksums, nothing is added, and nothing may get lost. What this takes is what the
 * broker, the client and the machine take, so it is the bound of the design, measured.
 */
import { setImmediate } from "node:timers";
import type { Bus, BusMessage } from "../../shared/bus/bus.ts";
import { chunkCountOf, type ChunkPlan, chunkRange } from "../../worker/allreduce/plan/chunk_plan.ts";
import type { OwnerRange } from "../../worker/allreduce/plan/owner_ranges.ts";

export interface BareRound {
  /** Rounds in which workers overlap are told apart by it. */
  readonly number: number;
  readonly ranges: readonly OwnerRange[];
  readonly plan: ChunkPlan;
  /** Stands for the gradient: what is sent, and what comes is written to. */
  readonly words: Int32Array;
}

export interface BarePattern {
  /** What comes from now on belongs to this round. */
  prepare(round: BareRound): void;
  /** Sends, and resolves when everything has come and gone. */
  run(): Promise<void>;
}

/** Acks come as often as in the all-reduce; without them the broker would cut off whoever is slow. */
const ACKS_PER_WINDOW = 4;
const NOTHING = new Uint8Array();

interface BareState extends BareRound {
  readonly counts: readonly number[];
  /** By member: chunks of its sums for us, chunks of its finished range, ours that it has of either. */
  readonly sumsIn: number[];
  readonly rangeIn: number[];
  readonly sumsHad: number[];
  readonly rangeHad: number[];
  /** By owner: chunks that we have sent of the sums for it. */
  readonly sumsOut: number[];
  rangeOut: number;
  wake: () => void;
}

export function createBarePattern(bus: Bus, self: number): BarePattern {
  let state: BareState | null = null;
  const bytesOf = ({ words }: BareState, { offset, count }: OwnerRange) =>
    new Uint8Array(words.buffer, 4 * offset, 4 * count);

  function onMessage({ subject, data }: BusMessage): void {
    const [, number, kind, to, from] = subject.split(".");
    if (state === null || Number(number) !== state.number) return;
    const sender = Number(from);
    const every = Math.max(1, Math.floor(state.plan.windowChunks / ACKS_PER_WINDOW));
    switch (kind) {
      case "rs": {
        const count = ++state.sumsIn[sender]!;
        take(state, chunkRange(state.ranges[self]!, state.plan.chunkElements, count - 1), data);
        if (count % every === 0) bus.publish(`bare.${state.number}.rsHad.${sender}.${self}`, NOTHING);
        break;
      }
      case "ag": {
        const owner = Number(to);
        const count = ++state.rangeIn[owner]!;
        take(state, chunkRange(state.ranges[owner]!, state.plan.chunkElements, count - 1), data);
        if (count % every === 0) bus.publish(`bare.${state.number}.agHad.${owner}.${self}`, NOTHING);
        break;
      }
      case "rsHad":
        state.sumsHad[sender]! += every;
        break;
      case "agHad":
        state.rangeHad[sender]! += every;
        break;
    }
    state.wake();
  }

  /** Somebody who receives bytes keeps them. */
  function take(state: BareState, place: OwnerRange, data: Uint8Array): void {
    bytesOf(state, place).set(data);
  }

  for (const kind of ["rs", "rsHad", "agHad"]) bus.subscribe(`bare.*.${kind}.${self}.*`, onMessage);
  const heard = new Set<number>();

  function sendNext(state: BareState, turn: number): boolean {
    const { ranges, plan: { chunkElements, windowChunks }, counts } = state;
    for (let tried = 0; tried < ranges.length; tried++) {
      const owner = (turn + tried) % ranges.length;
      const isOwn = owner === self;
      const chunk = isOwn ? state.rangeOut : state.sumsOut[owner]!;
      if (chunk === counts[owner] || chunk - hadOf(state, owner) >= windowChunks) continue;
      if (isOwn && othersLeast(state.sumsIn) <= chunk) continue;
      const bytes = bytesOf(state, chunkRange(ranges[owner]!, chunkElements, chunk));
      if (isOwn) state.rangeOut++;
      else state.sumsOut[owner]!++;
      bus.publish(
        isOwn
          ? `bare.${state.number}.all_gather.${self}`
          : `bare.${state.number}.reduce_scatter.${owner}.${self}`,
        bytes,
      );
      return true;
    }
    return false;
  }

  const othersLeast = (counts: readonly number[]) =>
    counts.reduce((least, count, member) => member === self ? least : Math.min(least, count), Infinity);
  const hadOf = (state: BareState, owner: number) =>
    owner === self ? othersLeast(state.rangeHad) : state.sumsHad[owner]!;

  function isDone({ counts, sumsIn, sumsOut, rangeIn, rangeOut }: BareState): boolean {
    return rangeOut === counts[self] && othersLeast(sumsIn) === counts[self] &&
      counts.every((count, member) =>
        member === self || rangeIn[member] === count && sumsOut[member] === count
      );
  }

  return {
    prepare: (round) => {
      const zeros = () => new Array<number>(round.ranges.length).fill(0);
      round.ranges.forEach((_, member) => {
        if (member === self || heard.has(member)) return;
        heard.add(member);
        bus.subscribe(`bare.*.all_gather.${member}`, onMessage);
      });
      state = {
        ...round,
        counts: round.ranges.map((range) => chunkCountOf(range, round.plan.chunkElements)),
        sumsIn: zeros(),
        rangeIn: zeros(),
        sumsHad: zeros(),
        rangeHad: zeros(),
        sumsOut: zeros(),
        rangeOut: 0,
        wake: () => {},
      };
    },
    run: async () => {
      const running = state!;
      for (let turn = self + 1; !isDone(running); turn++) {
        if (sendNext(running, turn)) await new Promise<void>((resolve) => void setImmediate(resolve));
        else await new Promise<void>((resolve) => void (running.wake = resolve));
      }
    },
  };
}

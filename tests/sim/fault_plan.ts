/** Faults as data: what happens when, drawn from a seed, and how each of them is done to a fleet. */
import type { Clock } from "../../shared/clock.ts";
import type { Prng } from "../../shared/prng.ts";
import { FAIR, type Link } from "./link.ts";

export type Fault =
  | { readonly type: "kill"; readonly worker: number }
  | { readonly type: "stall"; readonly worker: number; readonly ms: number }
  | { readonly type: "cut"; readonly worker: number; readonly ms: number }
  | { readonly type: "weather"; readonly worker: number; readonly share: number; readonly ms: number }
  | { readonly type: "join" }
  | { readonly type: "drain"; readonly worker: number }
  | { readonly type: "killCoordinator"; readonly ms: number }
  | { readonly type: "stallCoordinator"; readonly ms: number }
  /** Its user pauses the job. */
  | { readonly type: "pause"; readonly ms: number };

export interface PlannedFault {
  readonly atMs: number;
  readonly fault: Fault;
}

/** How often each type is drawn, and how long it lasts. */
export interface FaultMix {
  readonly shares: readonly (readonly [Fault["type"], number])[];
  /** Each of them as often as the others. */
  readonly stallsMs: readonly number[];
  readonly cutsMs: readonly [least: number, most: number];
}

/** For a handful of workers. */
export const MIX: FaultMix = {
  shares: [
    ["kill", 4],
    ["stall", 4],
    ["cut", 3],
    ["weather", 3],
    ["join", 5],
    ["drain", 2],
    ["killCoordinator", 2],
  ],
  stallsMs: [1000, 5000, 15_000],
  cutsMs: [500, 12_500],
};

/** The same with a coordinator that stalls now and then, and a user who pauses and resumes. */
export const MIX_WITH_PAUSES: FaultMix = {
  ...MIX,
  shares: [...MIX.shares, ["pause", 4], ["stallCoordinator", 2]],
};

/**
 * For a thousand. A worker that is lost holds up all others until it is known to be lost; so many are lost that a step is
 * interrupted several times, and so few that there are some steps.
 */
export const MIX_AT_SCALE: FaultMix = {
  shares: [
    ["kill", 36],
    ["stall", 480],
    ["cut", 160],
    ["weather", 800],
    ["join", 330],
    ["drain", 188],
    ["killCoordinator", 6],
  ],
  stallsMs: [...Array(10).fill(200), ...Array(10).fill(500), ...Array(7).fill(1000), 2000, 4000, 15_000],
  cutsMs: [100, 1000],
};

/** `count` faults within `withinMs`, ascending. Workers are chosen among those that are alive when it happens. */
export function drawFaults(
  random: Prng,
  count: number,
  withinMs: number,
  mix: FaultMix = MIX,
): PlannedFault[] {
  const times = Array.from({ length: count }, () => random.below(withinMs)).sort((a, b) => a - b);
  return times.map((atMs) => ({ atMs, fault: drawFault(random, mix) }));
}

function drawFault(random: Prng, { shares, stallsMs, cutsMs }: FaultMix): Fault {
  const worker = random.uint32();
  const total = shares.reduce((sum, [, share]) => sum + share, 0);
  let at = random.below(total);
  const type = shares.find(([, share]) => (at -= share) < 0)![0];
  switch (type) {
    case "kill":
    case "drain":
      return { type, worker };
    case "stall":
      return { type, worker, ms: stallsMs[random.below(stallsMs.length)]! };
    case "cut":
      return { type, worker, ms: cutsMs[0] + random.below(cutsMs[1] - cutsMs[0]) };
    case "weather":
      return { type, worker, share: 0.02 + 0.1 * random.uniform(), ms: 1000 + random.below(10_000) };
    case "join":
      return { type };
    case "killCoordinator":
      return { type, ms: 200 + random.below(8000) };
    case "stallCoordinator":
      return { type, ms: stallsMs[random.below(stallsMs.length)]! };
    case "pause":
      return { type, ms: random.below(3000) };
  }
}

/** A process that faults happen to. */
export interface Victim {
  readonly id: string;
  readonly link: Pick<Link, "isCut" | "weather" | "stall" | "resume">;
  readonly isAlive: boolean;
  drain(): void;
}

/** A fleet that faults happen to, whatever its workers are made of. */
export interface FaultTarget<V extends Victim = Victim> {
  readonly clock: Clock;
  readonly workers: readonly V[];
  startWorker(): V;
  kill(worker: V): void;
  killCoordinator(): void;
  startCoordinator(): void;
  /** Left out where that does not happen. */
  stallCoordinator?(): () => void;
  pauseJob?(): void;
  resumeJob?(): void;
  readonly isCoordinatorAlive: boolean;
}

/** Does it; what ends by itself ends after its time. Returns what was done, in words. */
export function apply<V extends Victim>(fleet: FaultTarget<V>, fault: Fault): string {
  const later = (ms: number, end: () => void) => void fleet.clock.sleep(ms).then(end);
  if (fault.type === "join") {
    return `${fleet.startWorker().id} joins`;
  }
  if (fault.type === "killCoordinator") {
    if (!fleet.isCoordinatorAlive) return "the coordinator is dead already";
    fleet.killCoordinator();
    later(fault.ms, fleet.startCoordinator);
    return `the coordinator is killed for ${fault.ms} ms`;
  }
  if (fault.type === "stallCoordinator") {
    later(fault.ms, fleet.stallCoordinator?.() ?? (() => {}));
    return `the coordinator stands still for ${fault.ms} ms`;
  }
  if (fault.type === "pause") {
    fleet.pauseJob?.();
    later(fault.ms, () => fleet.resumeJob?.());
    return `the job is paused for ${fault.ms} ms`;
  }
  const alive = fleet.workers.filter(({ isAlive }) => isAlive);
  if (alive.length === 0) return "nobody is alive";
  const worker = alive[fault.worker % alive.length]!;
  const { id, link } = worker;
  switch (fault.type) {
    case "kill":
      fleet.kill(worker);
      return `${id} is killed`;
    case "drain":
      worker.drain();
      return `${id} is drained`;
    case "stall":
      link.stall();
      later(fault.ms, () => link.resume());
      return `${id} stands still for ${fault.ms} ms`;
    case "cut":
      link.isCut = true;
      later(fault.ms, () => link.isCut = false);
      return `${id} is cut off for ${fault.ms} ms`;
    case "weather":
      link.weather = { drop: fault.share, duplicate: fault.share, corrupt: fault.share / 2 };
      later(fault.ms, () => link.weather = FAIR);
      return `${id} has bad weather for ${fault.ms} ms`;
  }
}

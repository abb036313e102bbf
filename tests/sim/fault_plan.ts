/** Faults as data: what happens when, drawn from a seed, and how each of them is done to a fleet. */
import type { Prng } from "../../shared/prng.ts";
import { FAIR } from "./link.ts";
import type { FleetInMemory, SimWorker } from "./fleet_in_memory.ts";

export type Fault =
  | { readonly type: "kill"; readonly worker: number }
  | { readonly type: "stall"; readonly worker: number; readonly ms: number }
  | { readonly type: "cut"; readonly worker: number; readonly ms: number }
  | { readonly type: "weather"; readonly worker: number; readonly share: number; readonly ms: number }
  | { readonly type: "join" }
  | { readonly type: "drain"; readonly worker: number }
  | { readonly type: "killCoordinator"; readonly ms: number };

export interface PlannedFault {
  readonly atMs: number;
  readonly fault: Fault;
}

/** How often each type is drawn. */
const SHARES: readonly (readonly [Fault["type"], number])[] = [
  ["kill", 4],
  ["stall", 4],
  ["cut", 3],
  ["weather", 3],
  ["join", 5],
  ["drain", 2],
  ["killCoordinator", 2],
];
const STALLS_MS = [1000, 5000, 15_000];

/** `count` faults within `withinMs`, ascending. Workers are chosen among those that are alive when it happens. */
export function drawFaults(random: Prng, count: number, withinMs: number): PlannedFault[] {
  const times = Array.from({ length: count }, () => random.below(withinMs)).sort((a, b) => a - b);
  return times.map((atMs) => ({ atMs, fault: drawFault(random) }));
}

function drawFault(random: Prng): Fault {
  const worker = random.uint32();
  const total = SHARES.reduce((sum, [, share]) => sum + share, 0);
  let at = random.below(total);
  const type = SHARES.find(([, share]) => (at -= share) < 0)![0];
  switch (type) {
    case "kill":
    case "drain":
      return { type, worker };
    case "stall":
      return { type, worker, ms: STALLS_MS[random.below(STALLS_MS.length)]! };
    case "cut":
      return { type, worker, ms: 500 + random.below(12_000) };
    case "weather":
      return { type, worker, share: 0.02 + 0.1 * random.uniform(), ms: 1000 + random.below(10_000) };
    case "join":
      return { type };
    case "killCoordinator":
      return { type, ms: 200 + random.below(8000) };
  }
}

/** Does it; what ends by itself ends after its time. Returns what was done, in words. */
export function apply(fleet: FleetInMemory, fault: Fault): string {
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
  const alive = fleet.workers.filter(({ isAlive }) => isAlive);
  if (alive.length === 0) return "nobody is alive";
  const worker: SimWorker = alive[fault.worker % alive.length]!;
  const { id, link } = worker;
  switch (fault.type) {
    case "kill":
      fleet.kill(worker);
      return `${id} is killed`;
    case "drain":
      worker.isDrained = true;
      worker.agent.drain();
      return `${id} is drained`;
    case "stall":
      link.stall();
      later(fault.ms, link.resume);
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

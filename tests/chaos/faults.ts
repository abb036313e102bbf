/** Faults as data: which one, at which step, on whom. Drawn from a seed; `run.ts` does them to a fleet. */
import type { Prng } from "../../shared/prng.ts";

export type Fault =
  /** kill −9, at any moment of a step. */
  | { readonly type: "kill worker" }
  /** kill −9 of a worker that has begun to broadcast the range that it owns. */
  | { readonly type: "kill owner" }
  /** kill −9; a standby takes over, or a supervisor starts a successor. */
  | { readonly type: "kill coordinator"; readonly standsBy: boolean }
  | { readonly type: "kill broker" }
  /** SIGSTOP, and SIGCONT after so long. */
  | { readonly type: "stop worker"; readonly ms: number }
  | { readonly type: "stop coordinator"; readonly ms: number }
  | { readonly type: "join" }
  /** SIGTERM: it drains. */
  | { readonly type: "leave" }
  /** Its connections end, and no new ones come about for so long. */
  | { readonly type: "cut"; readonly ms: number }
  /** Nothing passes in either direction for so long. */
  | { readonly type: "silence"; readonly ms: number }
  /** A share of its gradient chunks comes with a wrong byte. */
  | { readonly type: "corrupt"; readonly share: number; readonly ms: number }
  /** A share of its messages comes twice. */
  | { readonly type: "duplicate"; readonly share: number; readonly ms: number };

export interface PlannedFault {
  /** It happens while this step is being done. */
  readonly step: number;
  /** So long after the step before was committed. */
  readonly delayMs: number;
  /** Chooses among those who are there. */
  readonly whom: number;
  readonly fault: Fault;
}

/** Every type of the list comes before any comes twice. A broker is given up that dies six times in a minute. */
const DECK: readonly Fault["type"][] = [
  ...["kill worker", "kill owner", "kill coordinator", "kill broker", "stop worker", "stop worker"] as const,
  ...["stop worker", "stop coordinator", "join", "leave", "cut", "silence", "corrupt", "duplicate"] as const,
  ...["kill worker", "kill owner", "kill coordinator", "join", "join", "corrupt"] as const,
];
const WORKER_STOPS_MS = [1000, 5000, 15_000];
const COORDINATOR_STOPS_MS = [1000, 5000];

/** `count` faults over `stepCount` steps, none in the first or the last, at most one in a step. */
export function drawFaults(random: Prng, count: number, stepCount: number): PlannedFault[] {
  const types: Fault["type"][] = [];
  while (types.length < count) types.push(...shuffled(random, DECK));
  let stops = random.below(WORKER_STOPS_MS.length);
  return types.slice(0, count).map((type, index) => ({
    step: 2 + Math.floor((index * (stepCount - 2)) / count),
    delayMs: random.below(400),
    whom: random.uint32(),
    fault: drawFault(type, random, () => WORKER_STOPS_MS[stops++ % WORKER_STOPS_MS.length]!),
  }));
}

function drawFault(type: Fault["type"], random: Prng, nextStopMs: () => number): Fault {
  switch (type) {
    case "kill worker":
    case "kill owner":
    case "kill broker":
    case "join":
    case "leave":
      return { type };
    case "kill coordinator":
      return { type, standsBy: random.below(2) === 0 };
    case "stop worker":
      return { type, ms: nextStopMs() };
    case "stop coordinator":
      return { type, ms: COORDINATOR_STOPS_MS[random.below(COORDINATOR_STOPS_MS.length)]! };
    case "cut":
    case "silence":
      return { type, ms: 500 + random.below(6000) };
    case "corrupt":
    case "duplicate":
      return { type, share: 0.2 + 0.3 * random.uniform(), ms: 2000 + random.below(4000) };
  }
}

function shuffled<T>(random: Prng, items: readonly T[]): T[] {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

export function describe(fault: Fault): string {
  switch (fault.type) {
    case "stop worker":
    case "stop coordinator":
    case "cut":
    case "silence":
      return `${fault.type} ${(fault.ms / 1000).toFixed(1)} s`;
    case "corrupt":
    case "duplicate":
      return `${fault.type} ${Math.round(100 * fault.share)} % for ${(fault.ms / 1000).toFixed(1)} s`;
    case "kill coordinator":
      return `${fault.type}, ${fault.standsBy ? "one stands by" : "started again"}`;
    default:
      return fault.type;
  }
}

/** What lies between the last micro-batch of a step and the first of the next, from the calls of all workers' engines. */
import type { TimedCall } from "./timed_engine.ts";

/** In the order of their happening; milliseconds. */
export interface Phases {
  /** The fleet's last micro-batch is computed; its worker reports it, and the coordinator counts it. */
  readonly claim: number;
  /** That worker's engine adds the gradient to its sums. A driver that computes on the CPU is done with it before it answers. */
  readonly addition: number;
  /** The coordinator's news that all are counted; negative for a worker that has it before the last one has added. */
  readonly round: number;
  /** The sums come from the GPU. */
  readonly readback: number;
  readonly allReduce: number;
  /** Norm, AdamW and the state's digest. */
  readonly update: number;
  /** The report goes to the coordinator, all others' too, and the commit comes back. */
  readonly decision: number;
  /** The engine's commit, behind what is left of the adapter's way to the GPU. */
  readonly commit: number;
  /** The next step's first micro-batch comes. */
  readonly work: number;
}

export const PHASES = [
  ...["claim", "addition", "round", "readback", "allReduce"] as const,
  ...["update", "decision", "commit", "work"] as const,
] as const;

/** Of a worker, one for each committed step after which it computed a micro-batch. */
export function phasesOf(calls: readonly TimedCall[], worker: string): Phases[] {
  const own = calls.filter((call) => call.worker === worker);
  return own.flatMap((commit, index) => {
    if (commit.call !== "commit") return [];
    const before = (call: TimedCall["call"]) => own.slice(0, index).findLast((other) => other.call === call);
    const [readSums, update] = [before("readSums"), before("update")];
    const next = own[index + 1];
    if (readSums === undefined || update === undefined || next?.call !== "computeGradient") return [];
    const lastOf = (call: TimedCall["call"]) =>
      calls.filter((other) => other.call === call && other.from <= readSums.from).toSorted((a, b) =>
        a.to - b.to
      )
        .at(-1);
    const [computed, added] = [lastOf("computeGradient"), lastOf("accumulate")];
    if (computed === undefined || added === undefined || computed.worker !== added.worker) return [];
    return [{
      claim: added.from - computed.to,
      addition: added.to - added.from,
      round: readSums.from - added.to,
      readback: readSums.to - readSums.from,
      allReduce: update.from - readSums.to,
      update: update.to - update.from,
      decision: commit.from - update.to,
      commit: commit.to - commit.from,
      work: next.from - commit.to,
    }];
  });
}

export const totalOf = (phases: Phases): number => PHASES.reduce((sum, name) => sum + phases[name], 0);

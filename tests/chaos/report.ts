/** What runs say to a person: the table of faults, and medians over all of them. */
import type { Fault } from "./faults.ts";
import { describe } from "./faults.ts";
import { type FaultOutcome, medianOf, type RunOutcome } from "./run.ts";

export const TABLE_HEAD =
  "  at step  after s  fault                                      to        next commit";

export function tableLine({ step, atMs, fault, worker, nextCommitMs }: FaultOutcome): string {
  const cells = [
    String(step).padStart(9),
    seconds(atMs).padStart(8),
    `  ${describe(fault).padEnd(41)}`,
    `  ${(worker ?? "").padEnd(9)}`,
    seconds(nextCommitMs).padStart(8),
  ];
  return `${cells.join("")} s`;
}

/** What each run has to show, in a sentence each; empty where it is as it should be. */
export function complaintsAbout(outcome: RunOutcome, undisturbedSha256: string): string[] {
  const { adapterSha256, books: { lost, doubled, foreign } } = outcome;
  const complaints = [];
  if (adapterSha256 !== undisturbedSha256) complaints.push("the adapter is another one than without faults");
  if (lost.length > 0) complaints.push(`in no committed sum: micro-batches ${lost.join(", ")}`);
  if (doubled.length > 0) {
    complaints.push(`in more than one committed sum: micro-batches ${doubled.join(", ")}`);
  }
  if (foreign.length > 0) complaints.push(`in a sum of a step that they are not of: ${foreign.join(", ")}`);
  return complaints;
}

/** Kinds of faults whose time to the next commit has a bound, or is worth knowing. */
const KINDS: readonly (readonly [name: string, types: readonly Fault["type"][]])[] = [
  ["death → next commit", ["kill worker", "kill owner"]],
  ["kill of the coordinator → next commit", ["kill coordinator"]],
  ["kill of the broker → next commit", ["kill broker"]],
  ["SIGSTOP of a worker → next commit", ["stop worker"]],
  ["SIGSTOP of the coordinator → next commit", ["stop coordinator"]],
  ["cut or silent connection → next commit", ["cut", "silence"]],
  ["corrupt or doubled messages → next commit", ["corrupt", "duplicate"]],
  ["leave → next commit", ["leave"]],
];

/** Medians over all runs, a line each. */
export function summary(outcomes: readonly RunOutcome[]): string[] {
  const faults = outcomes.flatMap((outcome) => outcome.faults);
  const lines = KINDS.map(([name, types]) =>
    timesLine(
      name,
      faults.filter(({ fault }) => types.includes(fault.type)).map(({ nextCommitMs }) => nextCommitMs),
    )
  );
  return [
    ...lines,
    timesLine("join, from the start of its process → contributing", outcomes.flatMap(({ joinMs }) => joinMs)),
    timesLine("an ordinary step", outcomes.map(({ medianStepMs }) => medianStepMs)),
  ];
}

function timesLine(name: string, times: readonly number[]): string {
  if (times.length === 0) return `${name.padEnd(52)} never`;
  const [median, most] = [medianOf(times), Math.max(...times)].map(seconds);
  return `${name.padEnd(52)} median ${median!.padStart(6)} s, longest ${
    most!.padStart(6)
  } s, of ${times.length}`;
}

export function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(2);
}

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
  if (adapterSha256 !== undisturbedSha256) {
    complaints.push("the adapter differs from that of a run without faults");
  }
  if (lost.length > 0) complaints.push(`in no committed sum: micro-batches ${lost.join(", ")}`);
  if (doubled.length > 0) {
    complaints.push(`in more than one committed sum: micro-batches ${doubled.join(", ")}`);
  }
  if (foreign.length > 0) complaints.push(`in a sum of a step that they are not of: ${foreign.join(", ")}`);
  return complaints;
}

/** Kinds of faults, and how long the fleet may need to commit again, with what has to be done again, in milliseconds; null: it is only told. */
const KINDS: readonly (readonly [name: string, types: readonly Fault["type"][], boundMs: number | null])[] = [
  ["death → next commit", ["kill worker", "kill owner"], 3000],
  ["kill of the coordinator → next commit", ["kill coordinator"], 5000],
  ["kill of the broker → next commit", ["kill broker"], null],
  ["SIGSTOP of a worker → next commit", ["stop worker"], null],
  ["SIGSTOP of the coordinator → next commit", ["stop coordinator"], null],
  ["cut or silent connection → next commit", ["cut", "silence"], null],
  ["corrupt or doubled messages → next commit", ["corrupt", "duplicate"], null],
  ["leave → next commit", ["leave"], null],
];
const JOIN_BOUND_MS = 15_000;

export interface Summary {
  /** Medians over all runs, a line each. */
  readonly lines: readonly string[];
  /** Whether all medians are within their bounds. */
  readonly isWithinBounds: boolean;
}

export function summarise(outcomes: readonly RunOutcome[]): Summary {
  const faults = outcomes.flatMap((outcome) => outcome.faults);
  const rows = [
    ...KINDS.map(([name, types, boundMs]) => ({
      name,
      times: faults.filter(({ fault }) => types.includes(fault.type)).map(({ nextCommitMs }) => nextCommitMs),
      boundMs,
    })),
    {
      name: "join, from the start of its process → contributing",
      times: outcomes.flatMap(({ joinMs }) => joinMs),
      boundMs: JOIN_BOUND_MS,
    },
    { name: "an ordinary step", times: outcomes.map(({ medianStepMs }) => medianStepMs), boundMs: null },
  ];
  const isWithin = ({ times, boundMs }: typeof rows[number]) =>
    times.length === 0 || boundMs === null || medianOf(times) <= boundMs;
  return {
    lines: rows.map((row) =>
      row.times.length === 0 ? `${row.name.padEnd(52)} never` : lineOf(row, isWithin(row))
    ),
    isWithinBounds: rows.every(isWithin),
  };
}

function lineOf(
  { name, times, boundMs }: { name: string; times: readonly number[]; boundMs: number | null },
  isWithin: boolean,
): string {
  const [median, most] = [medianOf(times), Math.max(...times)].map(seconds);
  const bound = boundMs === null ? "" : `; ${isWithin ? "within" : "NOT WITHIN"} ${seconds(boundMs)} s`;
  return `${name.padEnd(52)} median ${median!.padStart(6)} s, longest ${
    most!.padStart(6)
  } s, of ${times.length}${bound}`;
}

export function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(2);
}

/** metrics.jsonl: the run as one JSON object a line, for those who read it with pandas or jq. */
import { z } from "zod";
import { AppendedFile } from "./run/appended_file.ts";
import { runFolder } from "./run/run_folder.ts";
import type { Batch, RunFacts, TrackedRun, Tracker } from "./run/tracker.ts";

const stateSchema = z.object({ bytes: z.int() });

export function metricsJsonl(runsFolder: string): Tracker {
  return {
    title: "metrics.jsonl",
    held: null,
    check: () => Promise.resolve(),
    open: (facts) => openRun(facts, `${runFolder(runsFolder, facts)}/metrics.jsonl`),
  };
}

function openRun(facts: RunFacts, path: string): TrackedRun {
  const file = new AppendedFile(path, wholeLines);
  return {
    placeOf: () => path,
    async send(batch, state) {
      const from = state === null ? null : stateSchema.parse(state).bytes;
      return { bytes: await file.append(encode([startOf(facts)]), encode(linesOf(batch)), from) };
    },
  };
}

function startOf({ name, jobId, startedAt, config }: RunFacts): object {
  return { event: "start", time: timeOf(startedAt), job: jobId, name, config };
}

function linesOf({ points, end }: Batch): object[] {
  const lines: object[] = points.map(({ step, at, values }) => ({ step, time: timeOf(at), ...values }));
  if (end !== null) {
    const { status, at, step, error, summary } = end;
    lines.push({
      event: "end",
      step,
      time: timeOf(at),
      status,
      ...error === null ? {} : { error },
      ...summary,
    });
  }
  return lines;
}

function encode(lines: readonly object[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line, nonFinite)}\n`).join(""));
}

/** JSON has no NaN; Python's `float` and protobuf's JSON read these texts. */
function nonFinite(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/** The bytes up to the last line break. */
function wholeLines(bytes: Uint8Array): number {
  return bytes.lastIndexOf(10) + 1;
}

/** TensorBoard: an event file for each run, with the tags that transformers' callback writes. */
import { z } from "zod";
import { AppendedFile } from "../run/appended_file.ts";
import { concat } from "../run/bytes.ts";
import { rewriteNames } from "../run/rewrite_names.ts";
import { runFolder } from "../run/run_folder.ts";
import type { Batch, RunFacts, TrackedRun, Tracker } from "../run/tracker.ts";
import { fileVersion, scalars, sessionEnd, sessionStart, text } from "./events.ts";
import { encodeRecord, wholeRecords } from "./record_file.ts";

const stateSchema = z.object({ bytes: z.int() });

export function tensorboard(runsFolder: string): Tracker {
  return {
    title: "TensorBoard",
    held: null,
    check: () => Promise.resolve(),
    open: (facts) => openRun(facts, runFolder(runsFolder, facts)),
  };
}

function openRun(facts: RunFacts, folder: string): TrackedRun {
  // TensorBoard reads any file with "tfevents" in its name; several in one folder would be one run, in the order of the names.
  const second = String(Math.floor(facts.startedAt / 1000)).padStart(10, "0");
  const file = new AppendedFile(`${folder}/events.out.tfevents.${second}.lorafleet`, wholeRecords);
  return {
    placeOf: () => folder,
    async send(batch, state) {
      const from = state === null ? null : stateSchema.parse(state).bytes;
      return { bytes: await file.append(startOf(facts), recordsOf(batch), from) };
    },
  };
}

function startOf({ startedAt, config, name }: RunFacts): Uint8Array {
  const markdown = Object.entries(config).map(([key, value]) => `    ${key}: ${JSON.stringify(value)}`).join(
    "\n",
  );
  return concat(
    [fileVersion(startedAt), text(startedAt, "args", markdown), sessionStart(startedAt, name, config)]
      .map(encodeRecord),
  );
}

function recordsOf({ points, end }: Batch): Uint8Array {
  const events = points.map(({ at, step, values }) => scalars(at, step, rewriteNames(values)));
  if (end !== null) {
    const { at, step, summary, status } = end;
    if (Object.keys(summary).length > 0) events.push(scalars(at, step, rewriteNames(summary)));
    events.push(sessionEnd(at, step, status === "succeeded"));
  }
  return concat(events.map(encodeRecord));
}

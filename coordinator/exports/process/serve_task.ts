/**
 * The program of a process with one task: the task on standard input, messages on standard output, as lines of JSON. Runs at low
 * priority, and ends with its input: then the coordinator is gone or no longer waits.
 */
import { setPriority } from "node:os";
import { failureOf } from "../../../shared/protocol/failure.ts";
import { writeLine } from "../../../shared/protocol/process_lines.ts";
import type { ExportMessage } from "./export_messages.ts";

const NICENESS = 10;
const PROGRESS_INTERVAL_MS = 500;

type Send = (message: ExportMessage) => void;

const send: Send = (message) => writeLine(message);

/** @param run its result is the last message; progress that it sends is thinned out */
export async function serveTask(
  run: (task: unknown, report: Send) => Promise<ExportMessage>,
): Promise<never> {
  try {
    setPriority(NICENESS);
  } catch {
    // The system does not permit it: normal priority.
  }
  let sentAt = performance.now();
  const report: Send = (message) => {
    if (message.type === "progress" && performance.now() - sentAt < PROGRESS_INTERVAL_MS) return;
    sentAt = performance.now();
    send(message);
  };
  let text = "";
  let running: Promise<void> | null = null;
  for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (running !== null || !text.includes("\n")) continue;
    running = Promise.resolve(text).then((line) => run(JSON.parse(line), report))
      .catch((thrown): ExportMessage => ({ type: "failed", failure: failureOf(thrown) }))
      .then(send).finally(() => Deno.exit(0));
  }
  Deno.exit(1);
}

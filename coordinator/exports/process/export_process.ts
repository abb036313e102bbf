/**
 * An export's process: a task on standard input, messages on standard output, as lines of JSON. Runs at low priority, and ends
 * with its input: then the coordinator is gone or no longer waits.
 */
import { setPriority } from "node:os";
import { type ExportMessage, exportTaskSchema, failureOf } from "./export_messages.ts";
import { runExport } from "./run_export.ts";

const NICENESS = 10;
const PROGRESS_INTERVAL_MS = 500;

function send(message: ExportMessage): void {
  const line = new TextEncoder().encode(JSON.stringify(message) + "\n");
  for (let at = 0; at < line.length;) at += Deno.stdout.writeSync(line.subarray(at));
}

async function run(text: string): Promise<void> {
  let sentAt = performance.now();
  const files = await runExport(exportTaskSchema.parse(JSON.parse(text)), {
    report(message) {
      if (message.type === "progress" && performance.now() - sentAt < PROGRESS_INTERVAL_MS) return;
      sentAt = performance.now();
      send(message);
    },
  });
  send({ type: "done", files: [...files] });
}

try {
  setPriority(NICENESS);
} catch {
  // The system does not permit it: normal priority.
}
let text = "";
let running: Promise<void> | null = null;
for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  text += part;
  if (running !== null || !text.includes("\n")) continue;
  running = run(text).catch((thrown) => send({ type: "failed", failure: failureOf(thrown) })).finally(() =>
    Deno.exit(0)
  );
}
Deno.exit(1);

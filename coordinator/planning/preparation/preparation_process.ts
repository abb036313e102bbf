/**
 * A preparation's process: a request on standard input, messages on standard output, as lines of JSON. It works at low priority,
 * and ends when its input ends, since then nobody waits for it any more.
 */
import { setPriority } from "node:os";
import { prepareRows } from "./prepare_rows.ts";
import { failureOf, type PreparationMessage, preparationRequestSchema } from "./preparation_messages.ts";
import { writePrepared } from "./prepared_cache.ts";

/** A tenth of a core where all are busy: a worker on the same machine keeps its pace, and the queue still gets ahead. */
const NICENESS = 10;
const PROGRESS_INTERVAL_MS = 500;

function tell(message: PreparationMessage): void {
  const line = new TextEncoder().encode(JSON.stringify(message) + "\n");
  for (let at = 0; at < line.length;) at += Deno.stdout.writeSync(line.subarray(at));
}

async function prepare(text: string): Promise<void> {
  const request = preparationRequestSchema.parse(JSON.parse(text));
  let toldAt = performance.now();
  const rows = await prepareRows(request, (bytes) => {
    if (performance.now() - toldAt < PROGRESS_INTERVAL_MS) return;
    toldAt = performance.now();
    tell({ type: "progress", bytes });
  });
  await writePrepared(request.outputPath, request.key, rows);
}

try {
  setPriority(NICENESS);
} catch {
  // Where the system does not let it, it works as everybody does.
}
let text = "";
let preparing: Promise<void> | null = null;
for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  text += part;
  if (preparing !== null || !text.includes("\n")) continue;
  preparing = prepare(text).then(
    () => tell({ type: "done" }),
    (thrown) => tell({ type: "failed", failure: failureOf(thrown) }),
  ).finally(() => Deno.exit(0));
}
Deno.exit(1);

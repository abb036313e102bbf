/**
 * A preparation's process: a request on standard input, messages on standard output, as lines of JSON. Runs at low priority, and
 * ends with its input: then the coordinator is gone or no longer waits.
 */
import { setPriority } from "node:os";
import { failureOf } from "../../../shared/protocol/failure.ts";
import { writeLine } from "../../../shared/protocol/process_lines.ts";
import { prepareRows } from "./prepare_rows.ts";
import { NICENESS, type PreparationMessage, preparationRequestSchema } from "./preparation_messages.ts";
import { writePrepared } from "./prepared_cache.ts";

const PROGRESS_INTERVAL_MS = 500;

const send = (message: PreparationMessage): void => writeLine(message);

async function prepare(text: string): Promise<void> {
  const request = preparationRequestSchema.parse(JSON.parse(text));
  let sentAt = performance.now();
  using rows = await prepareRows(request, {
    onProgress(progress) {
      if (performance.now() - sentAt < PROGRESS_INTERVAL_MS) return;
      sentAt = performance.now();
      send({ type: "progress", ...progress });
    },
    onDecode: (decoding) => send({ type: "decoding", decoding }),
  });
  await writePrepared(request.outputPath, request.key, rows);
}

try {
  setPriority(NICENESS);
} catch {
  // The system does not permit it: normal priority.
}
let text = "";
let preparing: Promise<void> | null = null;
for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  text += part;
  if (preparing !== null || !text.includes("\n")) continue;
  preparing = prepare(text).then(
    () => send({ type: "done" }),
    (thrown) => send({ type: "failed", failure: failureOf(thrown) }),
  ).finally(() => Deno.exit(0));
}
Deno.exit(1);

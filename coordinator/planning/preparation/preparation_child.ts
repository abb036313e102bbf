/**
 * Runs a preparation in its own process: an exhausted heap in a thread of Deno would kill the coordinator, and a process can be
 * killed at once, returns its memory and runs at low priority (docs/decisions/0018).
 */
import { fromFileUrl } from "@std/path";
import { toText } from "@std/streams";
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { errorOf } from "../../../shared/protocol/failure.ts";
import {
  type PreparationMessage,
  preparationMessageSchema,
  type PreparationRequest,
  type Progress,
} from "./preparation_messages.ts";

export interface PreparationChildOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called from time to time. */
  readonly onProgress: (progress: Progress) => void;
  /** Replaces the program in tests. */
  readonly script?: URL;
  /** Left out: the engine's own limit. */
  readonly maxHeapMib?: number;
  /** A process without progress for this long has stalled. */
  readonly stallMs?: number;
}

/** A slow machine may take this long for a row of 64 MiB; no row that is fit for training takes as long. */
const STALL_MS = 1_200_000;
/** Kept of the process's output: enough for a stack. */
const MAX_OUTPUT_CHARS = 4000;

/**
 * Resolves when the rows are written. Rejects with the preparation's error, with the signal's reason, or with an error that gives
 * the way in which the process ended.
 */
export async function runPreparationChild(
  request: PreparationRequest,
  options: PreparationChildOptions,
): Promise<void> {
  const { clock, signal, onProgress, stallMs = STALL_MS } = options;
  signal.throwIfAborted();
  const child = spawn(request, options);
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  };
  signal.addEventListener("abort", kill, { once: true });
  const watching = new AbortController();
  let heardAt = clock.now();
  let hasStalled = false;
  const watch = async () => {
    while (clock.now() - heardAt < stallMs) await clock.sleep(stallMs / 20, watching.signal);
    hasStalled = true;
    kill();
  };
  const watched = watch().catch(() => {});
  try {
    const output = toText(child.stderr);
    const writer = child.stdin.getWriter();
    // If the process ends before it has read, its status gives the reason.
    await writer.write(new TextEncoder().encode(JSON.stringify(request) + "\n")).catch(() => {});
    let outcome: Exclude<PreparationMessage, { type: "progress" }> | null = null;
    for await (const message of messagesOf(child.stdout)) {
      heardAt = clock.now();
      if (message.type === "progress") onProgress(message);
      else outcome = message;
    }
    await writer.close().catch(() => {});
    const status = await child.status;
    signal.throwIfAborted();
    if (outcome?.type === "done") return;
    if (outcome?.type === "failed") throw errorOf(outcome.failure);
    throw hasStalled ? stalled(stallMs) : endOf(status, (await output).slice(-MAX_OUTPUT_CHARS));
  } finally {
    signal.removeEventListener("abort", kill);
    kill();
    watching.abort();
    await Promise.all([watched, child.status]);
  }
}

function spawn({ outputPath }: PreparationRequest, options: PreparationChildOptions): Deno.ChildProcess {
  const { script = new URL("./preparation_process.ts", import.meta.url), maxHeapMib } = options;
  const folder = outputPath.slice(0, outputPath.lastIndexOf("/"));
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-q", "--no-prompt", "--no-check"],
      ...["--config", fromFileUrl(new URL("../../../deno.json", import.meta.url))],
      // Relative to its working folder: a path with a comma could not be in the list.
      ...["--allow-read", "--allow-write=.", "--allow-sys=setPriority"],
      ...maxHeapMib === undefined ? [] : [`--v8-flags=--max-old-space-size=${maxHeapMib}`],
      fromFileUrl(script),
    ],
    ...{ cwd: folder, env: { NO_COLOR: "1" }, stdin: "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
}

async function* messagesOf(stdout: ReadableStream<Uint8Array>): AsyncGenerator<PreparationMessage> {
  let text = "";
  for await (const part of stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (text + part).split("\n");
    text = lines.pop()!;
    for (const line of lines) yield preparationMessageSchema.parse(JSON.parse(line));
  }
}

function stalled(stallMs: number): LoraFleetError {
  const message =
    `preparing the training file has come to a standstill: no progress in ${
      stallMs / 1000
    } s. One of its rows ` +
    `may be too long for the tokenizer; split it, or lower dataset.max_seq_length so that it is refused`;
  return new LoraFleetError("timeout", message, { param: "training_file" });
}

/** A process that ended without an outcome. */
function endOf({ code, signal }: Deno.CommandStatus, output: string): Error {
  if (/out of memory/i.test(output) || signal === "SIGKILL") {
    const how = signal === "SIGKILL" ? "the system has ended its process" : "its process has ended";
    const message =
      `preparing the training file has taken more memory than there is: ${how}. Split the file and train on ` +
      `one part after the other, or give the coordinator more memory`;
    return new LoraFleetError("does_not_fit", message, { param: "training_file" });
  }
  const how = signal === null ? `exit code ${code}` : signal;
  const defect = new Error(`the process that prepares the training file has ended (${how}) without a result`);
  defect.stack = `${messageOf(defect)}\n${output}`;
  return defect;
}

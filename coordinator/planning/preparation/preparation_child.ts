/**
 * Runs a preparation in its own process: an exhausted heap in a thread of Deno would kill the coordinator, and a process can be
 * killed at once, returns its memory and runs at low priority (docs/decisions/0018).
 */
import { fromFileUrl } from "@std/path";
import { toText } from "@std/streams";
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { errorOf } from "../../../shared/protocol/failure.ts";
import { readLines } from "../../../shared/protocol/process_lines.ts";
import {
  type Decoding,
  NICENESS,
  type PreparationMessage,
  preparationMessageSchema,
  type PreparationRequest,
  type Progress,
} from "./preparation_messages.ts";

type Outcome = Extract<PreparationMessage, { type: "done" | "failed" }>;

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
  /** While it decodes a few rows, this long, and a second more for each megabyte of their group. */
  readonly decodeMs?: number;
}

/** A slow machine may take this long for a row of 64 MiB; no row that is fit for training takes as long. */
const STALL_MS = 1_200_000;
const DECODE_MS = 60_000;
/** A megabyte a second: on a quiet core it is a hundred times as fast, at low priority beside busy ones a tenth of that. */
const DECODED_BYTES_PER_MS = 1000;
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
  const { clock, signal, onProgress, stallMs = STALL_MS, decodeMs = DECODE_MS } = options;
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
  let decoding: Decoding | null = null;
  const limitMs = () =>
    decoding === null ? stallMs : Math.min(stallMs, decodeMs + decoding.bytes / DECODED_BYTES_PER_MS);
  let hasStalled = false;
  const watch = async () => {
    const intervalMs = Math.min(stallMs, decodeMs) / 20;
    while (clock.now() - heardAt < limitMs()) await clock.sleep(intervalMs, watching.signal);
    hasStalled = true;
    kill();
  };
  const watched = watch().catch(() => {});
  try {
    const output = toText(child.stderr);
    const writer = child.stdin.getWriter();
    // If the process ends before it has read, its status gives the reason.
    await writer.write(new TextEncoder().encode(JSON.stringify(request) + "\n")).catch(() => {});
    let outcome: Outcome | null = null;
    for await (const message of readLines(child.stdout, preparationMessageSchema)) {
      heardAt = clock.now();
      if (message.type === "progress") onProgress(message);
      else if (message.type === "decoding") decoding = message.decoding;
      else outcome = message;
    }
    await writer.close().catch(() => {});
    const status = await child.status;
    signal.throwIfAborted();
    if (outcome?.type === "done") return;
    if (outcome?.type === "failed") throw errorOf(outcome.failure);
    throw hasStalled
      ? stalled(limitMs(), decoding)
      : endOf(status, (await output).slice(-MAX_OUTPUT_CHARS), decoding);
  } finally {
    signal.removeEventListener("abort", kill);
    kill();
    watching.abort();
    await Promise.all([watched, child.status]);
  }
}

/** As `runPreparationChild`, with so many threads; null: as many as file and machine call for. */
export function preparationWith(threads: number | null): typeof runPreparationChild {
  return (request, options) =>
    runPreparationChild(threads === null ? request : { ...request, threads }, options);
}

function spawn({ outputPath }: PreparationRequest, options: PreparationChildOptions): Deno.ChildProcess {
  const { script = new URL("./preparation_process.ts", import.meta.url), maxHeapMib } = options;
  const folder = outputPath.slice(0, outputPath.lastIndexOf("/"));
  const args = [
    // The coordinator's own modules are in the cache: no registry is asked.
    ...["run", "-q", "--no-prompt", "--no-check", "--cached-only"],
    ...["--config", fromFileUrl(new URL("../../../deno.json", import.meta.url))],
    // Relative to its working folder: a path with a comma could not be in the list.
    ...["--allow-read", "--allow-write=.", "--allow-sys=setPriority,systemMemoryInfo"],
    ...maxHeapMib === undefined ? [] : [`--v8-flags=--max-old-space-size=${maxHeapMib}`],
    fromFileUrl(script),
  ];
  const streams = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  const more = { cwd: folder, env: { NO_COLOR: "1" }, ...streams };
  try {
    // From its beginning: the engine's own threads, which collect garbage, begin before the program can lower its priority.
    return new Deno.Command("nice", { args: ["-n", `${NICENESS}`, Deno.execPath(), ...args], ...more })
      .spawn();
  } catch (thrown) {
    if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
    return new Deno.Command(Deno.execPath(), { args, ...more }).spawn();
  }
}

function stalled(limitMs: number, decoding: Decoding | null): LoraFleetError {
  const limit = `${Math.round(limitMs / 1000)} s`;
  const message = decoding === null
    ? `preparing the training file has come to a standstill: no progress in ${limit}. One of its rows may be too long for ` +
      `the tokenizer; split it, or lower dataset.max_seq_length so that it is refused`
    : `preparing the data has come to a standstill: ${decoding.what} were not decoded in ${limit}. The file is ${DAMAGED}`;
  return new LoraFleetError("timeout", message, { param: "training_file" });
}

const DAMAGED =
  "probably damaged there; see whether a different reader (pyarrow.parquet.read_table) reads it, and write it anew";

/** A process that ended without an outcome. */
function endOf(
  { code, signal }: Deno.CommandStatus,
  output: string,
  decoding: Decoding | null,
): Error {
  if (/out of memory/i.test(output) || signal === "SIGKILL") {
    const how = signal === "SIGKILL" ? "the system has ended its process" : "its process has ended";
    const message =
      `preparing the training file has taken more memory than there is: ${how}. Split the file and train on ` +
      `one part after the other, or give the coordinator more memory` +
      (decoding === null ? "" : `. It was decoding ${decoding.what}, which is perhaps damaged`);
    return new LoraFleetError("does_not_fit", message, { param: "training_file" });
  }
  const how = signal === null ? `exit code ${code}` : signal;
  const defect = new Error(`the process that prepares the training file has ended (${how}) without a result`);
  defect.stack = `${messageOf(defect)}\n${output}`;
  return defect;
}

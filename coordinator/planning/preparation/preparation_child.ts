/**
 * Runs a preparation in a process of its own. Not in a thread: a thread of Deno whose heap is exhausted takes the whole process
 * with it, and this one is ended at once, gives its memory back and yields to others (docs/decisions/0018).
 */
import { fromFileUrl } from "@std/path";
import { toText } from "@std/streams";
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import {
  errorOf,
  type PreparationMessage,
  preparationMessageSchema,
  type PreparationRequest,
} from "./preparation_messages.ts";

export interface PreparationChildOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Told now and then how many bytes of the training file are done. */
  readonly onProgress: (bytes: number) => void;
  /** Another program, for tests. */
  readonly script?: URL;
  /** Of the process's heap; the engine's own limit where it is left out. */
  readonly maxHeapMib?: number;
  /** Without any progress for so long it has come to a standstill. */
  readonly stallMs?: number;
}

/** A row of 64 MiB may take a slow machine this long, a row that anybody trains on does not. */
const STALL_MS = 1_200_000;
/** Of what the process said before its end: enough for a stack. */
const MAX_OUTPUT_CHARS = 4000;

/**
 * Resolves when the rows are written. Rejects with what the preparation has thrown, with the signal's reason, or with a
 * `LoraFleetError` that says how the process has ended.
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
    const said = toText(child.stderr);
    const writer = child.stdin.getWriter();
    // A process that ends before it has read says why by its end.
    await writer.write(new TextEncoder().encode(JSON.stringify(request) + "\n")).catch(() => {});
    let outcome: Exclude<PreparationMessage, { type: "progress" }> | null = null;
    for await (const message of messagesOf(child.stdout)) {
      heardAt = clock.now();
      if (message.type === "progress") onProgress(message.bytes);
      else outcome = message;
    }
    await writer.close().catch(() => {});
    const status = await child.status;
    signal.throwIfAborted();
    if (outcome?.type === "done") return;
    if (outcome?.type === "failed") throw errorOf(outcome.failure);
    throw hasStalled ? stalled(stallMs) : endOf(status, (await said).slice(-MAX_OUTPUT_CHARS));
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
      // The folder it works in: a list of paths cannot spell a comma.
      ...["--allow-read", "--allow-write=.", "--allow-sys=setPriority"],
      ...maxHeapMib === undefined ? [] : [`--v8-flags=--max-old-space-size=${maxHeapMib}`],
      fromFileUrl(script),
    ],
    cwd: folder,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
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
  return new LoraFleetError(
    "timeout",
    `preparing the training file has come to a standstill: no progress in ${
      stallMs / 1000
    } s. One of its rows may be too ` +
      `long for the tokenizer; split it, or lower dataset.max_seq_length so that it is refused`,
    { param: "training_file" },
  );
}

/** A process that ended without an outcome. */
function endOf({ code, signal }: Deno.CommandStatus, said: string): Error {
  if (/out of memory/i.test(said) || signal === "SIGKILL") {
    const how = signal === "SIGKILL" ? "the system has ended its process" : "its process has ended";
    return new LoraFleetError(
      "does_not_fit",
      `preparing the training file has taken more memory than there is: ${how}. Split the file and train on one part after ` +
        `the other, or give the coordinator more memory`,
      { param: "training_file" },
    );
  }
  const how = signal === null ? `exit code ${code}` : signal;
  const defect = new Error(`the process that prepares the training file has ended (${how}) without a result`);
  defect.stack = `${messageOf(defect)}\n${said}`;
  return defect;
}

/** Runs a task in a process of its own, with bounded memory, so that the coordinator's event loop and heap stay free. */
import { fromFileUrl } from "@std/path";
import { toText } from "@std/streams";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { errorOf } from "../../../shared/protocol/failure.ts";
import { readLines } from "../../../shared/protocol/process_lines.ts";
import { type ExportMessage, exportMessageSchema } from "./export_messages.ts";

export type Outcome = Extract<ExportMessage, { type: "done" | "pushed" }>;

export interface ChildOptions {
  readonly signal: AbortSignal;
  readonly onMessage: (message: Extract<ExportMessage, { type: "planned" | "progress" }>) => void;
}

export interface ChildProgram {
  readonly script: URL;
  readonly permissions: readonly string[];
  /** Its working folder. */
  readonly cwd: string;
}

/** Of V8's heap; the tensors lie outside of it, one layer at a time. */
const MAX_HEAP_MIB = 1024;
/** Kept of the process's output: enough for a stack. */
const MAX_OUTPUT_CHARS = 4000;

/** Rejects with the task's error, with the signal's reason, or with how the process ended. */
export async function runChild(
  program: ChildProgram,
  task: unknown,
  { signal, onMessage }: ChildOptions,
): Promise<Outcome> {
  signal.throwIfAborted();
  const child = spawn(program);
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  };
  signal.addEventListener("abort", kill, { once: true });
  try {
    const output = toText(child.stderr);
    const writer = child.stdin.getWriter();
    // If the process ends before it has read, its status gives the reason.
    await writer.write(new TextEncoder().encode(JSON.stringify(task) + "\n")).catch(() => {});
    let outcome: Outcome | Extract<ExportMessage, { type: "failed" }> | null = null;
    for await (const message of readLines(child.stdout, exportMessageSchema)) {
      if (message.type === "planned" || message.type === "progress") onMessage(message);
      else outcome = message;
    }
    await writer.close().catch(() => {});
    const status = await child.status;
    signal.throwIfAborted();
    if (outcome?.type === "failed") throw errorOf(outcome.failure);
    if (outcome !== null) return outcome;
    throw endOf(status, (await output).slice(-MAX_OUTPUT_CHARS));
  } finally {
    signal.removeEventListener("abort", kill);
    kill();
    await child.status;
  }
}

function spawn({ script, permissions, cwd }: ChildProgram): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      // The coordinator's own modules are in the cache: no registry is asked.
      ...["run", "-q", "--no-prompt", "--no-check", "--cached-only"],
      ...["--config", fromFileUrl(new URL("../../../deno.json", import.meta.url))],
      ...permissions,
      `--v8-flags=--max-old-space-size=${MAX_HEAP_MIB}`,
      fromFileUrl(script),
    ],
    ...{ cwd, env: { NO_COLOR: "1" }, stdin: "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
}

/** A process that ended without an outcome. */
function endOf({ code, signal }: Deno.CommandStatus, output: string): Error {
  if (/out of memory/i.test(output) || signal === "SIGKILL") {
    const message =
      "the export has taken more memory than there is: its process was ended. Give the coordinator " +
      "more memory, or export on a machine that has it";
    return new LoraFleetError("does_not_fit", message, { param: "export" });
  }
  const defect = new Error(
    `the export's process has ended (${signal ?? `exit code ${code}`}) without a result`,
  );
  defect.stack = `${messageOf(defect)}\n${output}`;
  return defect;
}

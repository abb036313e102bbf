/**
 * A child process of the test run: its output as one text, a deadline, and nothing left of it, or of the processes that
 * it started, when it is over.
 */
import process from "node:process";

export interface ChildRequest {
  readonly args: readonly string[];
  /** Left out: this Deno. */
  readonly command?: string;
  /** Called with each piece of output as it comes. */
  readonly onOutput?: (text: string) => void;
  readonly folder: string;
  readonly env: Record<string, string>;
  readonly deadlineMs: number;
  /** Ends the child; `runChild` then rejects with its reason. */
  readonly signal: AbortSignal;
}

export interface ChildOutcome {
  readonly succeeded: boolean;
  /** The deadline ended it. */
  readonly isLate: boolean;
  /** Null where a signal ended it. */
  readonly exitCode: number | null;
  /** Both streams, in the order in which they came. */
  readonly output: string;
}

/** How long a group of processes has after SIGTERM. */
const STOP_TIMEOUT_MS = 8000;

export async function runChild(request: ChildRequest): Promise<ChildOutcome> {
  const { args, command = Deno.execPath(), onOutput = () => {}, folder, env, deadlineMs, signal } = request;
  signal.throwIfAborted();
  const child = new Deno.Command(command, {
    args: [...args],
    cwd: folder,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    // A group of its own: whatever a test has started can be ended with it, and Ctrl-C comes to us alone.
    detached: Deno.build.os !== "windows",
  }).spawn();
  let output = "";
  const read = async (stream: ReadableStream<Uint8Array>) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      output += text;
      onOutput(text);
    }
  };
  const reading = Promise.all([read(child.stdout), read(child.stderr)]);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), deadlineMs);
  const stopped = new Promise<void>((resolve) => {
    for (const reason of [signal, late.signal]) {
      reason.addEventListener("abort", () => resolve(endGroup(child.pid)), { once: true });
    }
  });
  try {
    const { success, code, signal: endedBy } = await child.status;
    // What was started and not ended holds the pipes open, and would hold up the run.
    await (signal.aborted || late.signal.aborted ? stopped : endGroup(child.pid));
    await reading;
    signal.throwIfAborted();
    const isLate = late.signal.aborted;
    return { succeeded: success && !isLate, isLate, exitCode: endedBy === null ? code : null, output };
  } finally {
    clearTimeout(timer);
  }
}

/** SIGTERM to a process and all that it has started, and SIGKILL to those for whom that is not enough. */
async function endGroup(leader: number): Promise<void> {
  if (Deno.build.os === "windows") return void signalTo(leader, "SIGTERM");
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  for (let isThere = signalTo(-leader, "SIGTERM"); isThere; isThere = signalTo(-leader, 0)) {
    if (Date.now() > deadline) return void signalTo(-leader, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether there was anybody to hear it; signal 0 only asks. */
function signalTo(pid: number, signal: "SIGTERM" | "SIGKILL" | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/** Child processes of a command: each has a log, and none outlives the command. */
import { join } from "@std/path";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";

export interface Child {
  readonly name: string;
  readonly pid: number;
  readonly logPath: string;
  /** Resolves with the exit code when the child has ended and its log is complete. */
  readonly ended: Promise<number>;
  /** Whether it was told to end. */
  isStopped(): boolean;
  /** Its last line of output, for error messages. */
  lastLine(): string;
  /**
   * The first match of `pattern` in a line of its output, past lines included.
   * Throws `aborted` if it ends first, `timeout` after `timeoutMs`
   */
  match(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray>;
}

/** How long a child has to end after SIGTERM. */
const STOP_TIMEOUT_MS = 10_000;
/** Old output that `match` may still find. */
const KEPT_LINES = 200;
const STACK_LINE = /^\s*(at |\d+: <|Stack backtrace:)/;

export class Children {
  readonly #logFolder: string;
  readonly #clock: Clock;
  readonly #running = new Map<Deno.ChildProcess, Promise<number>>();
  readonly #stopped = new WeakSet<Deno.ChildProcess>();
  #closed = false;

  constructor(logFolder: string, clock: Clock) {
    this.#logFolder = logFolder;
    this.#clock = clock;
  }

  /** Starts this Deno with `args`. @param env replaces the environment */
  start(name: string, args: readonly string[], env: Record<string, string>): Child {
    return this.startCommand(name, Deno.execPath(), args, env);
  }

  startCommand(name: string, command: string, args: readonly string[], env: Record<string, string>): Child {
    if (this.#closed) {
      throw new LoraFleetError("aborted", `cannot start ${name}: everything is being stopped`);
    }
    const logPath = join(this.#logFolder, `${name}.log`);
    const log = Deno.openSync(logPath, { write: true, create: true, truncate: true });
    // Its own process group: Ctrl-C reaches the command alone, which then stops everything in order.
    const streams = { stdin: "null", stdout: "piped", stderr: "piped" } as const;
    const options = { args: [...args], env, clearEnv: true, detached: true, ...streams };
    const process = new Deno.Command(command, options).spawn();
    const output = new Output();
    const drained = Promise.all([output.read(process.stdout, log), output.read(process.stderr, log)]);
    const ended = drained.then(async () => {
      const { code } = await process.status;
      log.close();
      this.#running.delete(process);
      output.end();
      return code;
    });
    this.#running.set(process, ended);
    return {
      name,
      pid: process.pid,
      logPath,
      ended,
      isStopped: () => this.#stopped.has(process),
      lastLine: () => output.lastLine(),
      match: (pattern, timeoutMs) => this.#match(name, output, pattern, timeoutMs),
    };
  }

  async #match(name: string, output: Output, pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    const over = new AbortController();
    const late = this.#clock.sleep(timeoutMs, over.signal).then(() => {
      throw new LoraFleetError("timeout", `${name} did not print ${pattern} within ${timeoutMs / 1000} s`);
    });
    try {
      return await Promise.race([output.find(name, pattern), late]);
    } finally {
      late.catch(() => {});
      over.abort();
    }
  }

  /** Ends all children and refuses new ones. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.stopAll();
  }

  /** Ends all running children: SIGTERM first, then SIGKILL for a child and its own children. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#running].map(async ([process, ended]) => {
      this.#stopped.add(process);
      signalProcess(process.pid, "SIGTERM");
      const over = new AbortController();
      const late = this.#clock.sleep(STOP_TIMEOUT_MS, over.signal).then(() => true, () => false);
      const isLate = await Promise.race([ended.then(() => false), late]);
      over.abort();
      if (!isLate) return;
      signalProcess(-process.pid, "SIGKILL");
      await ended;
    }));
  }
}

/** A child's output, line by line. */
class Output {
  readonly lines: string[] = [];
  #waiting: (() => void)[] = [];
  #ended = false;

  async read(stream: ReadableStream<Uint8Array>, log: Deno.FsFile): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of stream) {
      let written = 0;
      while (written < chunk.length) written += log.writeSync(chunk.subarray(written));
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop()!;
      this.#add(parts);
    }
    if (rest !== "") this.#add([rest]);
  }

  #add(lines: readonly string[]): void {
    // deno-lint-ignore no-control-regex -- colours
    this.lines.push(...lines.map((line) => line.replace(/\x1b\[[0-9;]*m/g, "")));
    this.lines.splice(0, this.lines.length - KEPT_LINES);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** The newest line that is neither blank nor a stack frame. */
  lastLine(): string {
    const line = this.lines.findLast((line) => line.trim() !== "" && !STACK_LINE.test(line));
    return line?.trim() ?? "it wrote nothing";
  }

  async find(name: string, pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      for (const line of this.lines) {
        const match = pattern.exec(line);
        if (match) return match;
      }
      if (this.#ended) {
        throw new LoraFleetError("aborted", `${name} has ended: ${this.lastLine()}`);
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

function signalProcess(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    // It may have ended in the meantime.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** One worker process with its proxy. */
import { dirname, fromFileUrl, join } from "@std/path";
import { TextLineStream } from "@std/streams";
import type { Prng } from "../../shared/prng.ts";
import { type Line, lineSchema } from "./book_engine.ts";
import { type Proxy, startProxy } from "./proxy.ts";

export interface WorkerChild {
  readonly name: string;
  /** Its id in the fleet; null until it reports one. */
  readonly id: string | null;
  readonly proxy: Proxy;
  readonly startedAt: number;
  /** When it added its first micro-batch to its sums; null before. */
  readonly contributedAt: number | null;
  /** Not ended, not killed, and not asked to leave. */
  readonly isThere: boolean;
  readonly isStopped: boolean;
  readonly stderr: string;
  kill(): void;
  /** SIGSTOP, and SIGCONT after so long. */
  stopFor(milliseconds: number): void;
  leave(): void;
  readonly ended: Promise<void>;
}

export interface WorkerProcessOptions {
  readonly name: string;
  readonly joinUrl: string;
  /** The broker's, or its proxy's; null: the broker as the join URL says. */
  readonly natsPort: number | null;
  readonly engine: "toy" | "gpu";
  /** Of the toy: delay of each micro-batch. */
  readonly gradientMs: number;
  /** Of the toy: half of the gradient's elements. */
  readonly factorSize: number;
  readonly cacheFolder: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface WorkerChildOptions extends Omit<WorkerProcessOptions, "factorSize" | "natsPort"> {
  readonly natsPort: number;
  readonly random: Prng;
  readonly onLine: (line: Line) => void;
  readonly onPublished: (worker: WorkerChild, subject: string, payload: Uint8Array) => void;
  readonly onDelivered: (subject: string, payload: Uint8Array) => void;
}

/** Of the toy: 256 KiB of gradient, a chunk for each pair of workers. */
const FACTOR_SIZE = 2 ** 15;
const script = join(dirname(fromFileUrl(import.meta.url)), "worker_process.ts");

/** The process alone. The caller reads both outputs. */
export function spawnWorkerProcess(options: WorkerProcessOptions): Deno.ChildProcess {
  const { name, joinUrl, natsPort, engine, gradientMs, factorSize, cacheFolder } = options;
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "-q", "--unstable-webgpu", "--no-check", script, "--join", joinUrl, "--name", name],
      ...(natsPort === null ? [] : ["--nats-port", String(natsPort)]),
      ...["--engine", engine, "--gradient-ms", String(gradientMs)],
      ...["--cache-folder", cacheFolder, "--factor-size", String(factorSize)],
    ],
    env: { NO_COLOR: "1", ...options.env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

export function startWorkerChild(options: WorkerChildOptions): WorkerChild {
  const { name, natsPort, random, onLine } = options;
  const proxy = startProxy({
    ...{ port: natsPort, random, onDelivered: options.onDelivered },
    onPublished: (subject, payload) => options.onPublished(worker, subject, payload),
  });
  const child = spawnWorkerProcess({ ...options, natsPort: proxy.port, factorSize: FACTOR_SIZE });
  const state = { id: null as string | null, contributedAt: null as number | null, stderr: "" };
  let isThere = true;
  let stops = 0;

  const readLines = async (): Promise<void> => {
    for await (const line of linesOf(child)) {
      if (line.type === "started") state.id = line.worker;
      if (line.type === "added") state.contributedAt ??= Date.now();
      onLine(line);
    }
  };
  const readErrors = async (): Promise<void> => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) state.stderr += text;
  };
  const ended = Promise.all([readLines(), readErrors(), child.status]).then(() => {
    isThere = false;
    proxy.close();
  });

  const worker: WorkerChild = {
    name,
    proxy,
    startedAt: Date.now(),
    ended,
    get id() {
      return state.id;
    },
    get contributedAt() {
      return state.contributedAt;
    },
    get stderr() {
      return state.stderr;
    },
    get isThere() {
      return isThere;
    },
    get isStopped() {
      return stops > 0;
    },
    kill() {
      isThere = false;
      signal(child, "SIGKILL");
    },
    stopFor(milliseconds) {
      stops++;
      signal(child, "SIGSTOP");
      setTimeout(() => {
        if (--stops === 0) signal(child, "SIGCONT");
      }, milliseconds);
    },
    leave() {
      isThere = false;
      signal(child, "SIGTERM");
    },
  };
  return worker;
}

async function* linesOf(child: Deno.ChildProcess): AsyncGenerator<Line> {
  for await (
    const text of child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())
  ) {
    // A killed process may leave half a line.
    if (text.endsWith("}")) yield lineSchema.parse(JSON.parse(text));
  }
}

function signal(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch {
    // It has ended.
  }
}

/** One worker process with its proxy, as the harness sees it. */
import { dirname, fromFileUrl, join } from "@std/path";
import { TextLineStream } from "@std/streams";
import type { Prng } from "../../shared/prng.ts";
import { type Line, lineSchema } from "./book_engine.ts";
import { type Proxy, startProxy } from "./proxy.ts";

export interface WorkerChild {
  readonly name: string;
  /** Its id in the fleet; null before it has told. */
  readonly id: string | null;
  readonly proxy: Proxy;
  readonly startedAt: number;
  /** When its first micro-batch was in its sums; null before. */
  readonly contributedAt: number | null;
  /** Not ended, not killed, and not asked to leave. */
  readonly isThere: boolean;
  readonly isStopped: boolean;
  /** What it said on standard error. */
  readonly said: string;
  kill(): void;
  /** SIGSTOP, and SIGCONT after so long. */
  stopFor(milliseconds: number): void;
  leave(): void;
  readonly ended: Promise<void>;
}

export interface WorkerProcessOptions {
  /** For a person. */
  readonly name: string;
  readonly joinUrl: string;
  /** Of the broker, or of what lies before it. */
  readonly natsPort: number;
  readonly engine: "toy" | "gpu";
  /** Of the toy: how long a micro-batch takes, besides its arithmetic. */
  readonly gradientMs: number;
  /** Of the toy: half of the gradient's elements. */
  readonly factorSize: number;
  readonly cacheFolder: string;
}

export interface WorkerChildOptions extends Omit<WorkerProcessOptions, "factorSize"> {
  readonly random: Prng;
  readonly onLine: (line: Line) => void;
  readonly onPublished: (worker: WorkerChild, subject: string, payload: Uint8Array) => void;
  readonly onDelivered: (subject: string, payload: Uint8Array) => void;
}

/** Of the toy: 256 KiB of gradient, a chunk for each pair of workers. */
const FACTOR_SIZE = 2 ** 15;
const script = join(dirname(fromFileUrl(import.meta.url)), "worker_process.ts");

/** The process alone; both outputs have to be read. */
export function spawnWorkerProcess(options: WorkerProcessOptions): Deno.ChildProcess {
  const { name, joinUrl, natsPort, engine, gradientMs, factorSize, cacheFolder } = options;
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "-q", "--unstable-webgpu", "--no-check", script, "--join", joinUrl, "--name", name],
      ...["--nats-port", String(natsPort), "--engine", engine, "--gradient-ms", String(gradientMs)],
      ...["--cache-folder", cacheFolder, "--factor-size", String(factorSize)],
    ],
    env: { NO_COLOR: "1" },
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
  const state = { id: null as string | null, contributedAt: null as number | null, said: "" };
  let isThere = true;
  let stops = 0;

  async function readLines(): Promise<void> {
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
    for await (const text of lines) {
      // Who is killed may leave half a line.
      if (!text.endsWith("}")) continue;
      const line = lineSchema.parse(JSON.parse(text));
      if (line.type === "started") state.id = line.worker;
      if (line.type === "added") state.contributedAt ??= Date.now();
      onLine(line);
    }
  }
  async function readErrors(): Promise<void> {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) state.said += text;
  }
  const ended = Promise.all([readLines(), readErrors(), child.status]).then(() => {
    isThere = false;
    proxy.close();
  });
  function signal(name: Deno.Signal): void {
    try {
      child.kill(name);
    } catch {
      // It has ended.
    }
  }

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
    get said() {
      return state.said;
    },
    get isThere() {
      return isThere;
    },
    get isStopped() {
      return stops > 0;
    },
    kill() {
      isThere = false;
      signal("SIGKILL");
    },
    stopFor(milliseconds) {
      stops++;
      signal("SIGSTOP");
      setTimeout(() => {
        if (--stops === 0) signal("SIGCONT");
      }, milliseconds);
    },
    leave() {
      isThere = false;
      signal("SIGTERM");
    },
  };
  return worker;
}

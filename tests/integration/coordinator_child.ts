/** A coordinator as a process, for tests that end it in every way. */
import process from "node:process";
import { assert } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { systemClock } from "../../shared/clock.ts";

const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));
const assets = join(root, "deploy/demo/assets");

/** For what comes by itself: long enough for a machine whose cores are all busy. */
const PATIENCE_MS = 60_000;

export interface CoordinatorChild extends AsyncDisposable {
  readonly dataFolder: string;
  readonly pid: number;
  /** Its output so far. */
  stdout(): string;
  stderr(): string;
  kill(signal: Deno.Signal): void;
  /** Once all of its output is read. */
  readonly ended: Promise<Deno.CommandStatus>;
  /** Waits for the line with which workers join, and gives its URL. */
  joinUrl(): Promise<string>;
  /** `/v1` of the API; it has to have printed its line. */
  api(): string;
}

/** `args` besides the data folder; a free port unless one is given. `runArgs` are Deno's own, such as --v8-flags. */
export function startCoordinatorChild(
  dataFolder: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
  runArgs: readonly string[] = [],
): CoordinatorChild {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-q", "--no-prompt", "-P=coordinator", ...runArgs, join(root, "coordinator/main.ts")],
      ...["--data-folder", dataFolder],
      ...["--model-roots", assets, ...(args.includes("--port") ? [] : ["--port", "0"]), ...args],
    ],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = { stdout: "", stderr: "" };
  const read = async (name: "stdout" | "stderr") => {
    for await (const text of child[name].pipeThrough(new TextDecoderStream())) output[name] += text;
  };
  const ended = Promise.all([read("stdout"), read("stderr")]).then(() => child.status);
  let isOver = false;
  ended.then(() => isOver = true);
  const match = (pattern: RegExp) => pattern.exec(output.stdout)?.[1];
  return {
    dataFolder,
    pid: child.pid,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    kill: (signal) => child.kill(signal),
    ended,
    async joinUrl() {
      await until(
        "the line to join",
        () => isOver || match(/--join (\S+)/) !== undefined,
        () => output.stderr,
      );
      const url = match(/--join (\S+)/);
      assert(url !== undefined, `the coordinator has ended: ${output.stderr}`);
      return url;
    },
    api: () => match(/API at (\S+)/)!,
    async [Symbol.asyncDispose]() {
      if (!isOver) child.kill("SIGKILL");
      await ended;
      // One that has only waited had none.
      const pid = output.stdout === "" ? null : await natsPidOf(dataFolder);
      if (pid !== null) await until("the end of its broker", () => !isAlive(pid));
    },
  };
}

/** The process of its own broker; null where it has none. */
export async function natsPidOf(dataFolder: string): Promise<number | null> {
  const text = await Deno.readTextFile(join(dataFolder, "nats/nats-server.pid")).catch(() => null);
  return text === null ? null : Number(text);
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** A port for processes that have to find each other again after a restart. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  return listener.addr.port;
}

export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  detail: () => string = () => "",
  patienceMs: number = PATIENCE_MS,
): Promise<void> {
  const deadline = systemClock.now() + patienceMs;
  while (!await isSo()) {
    assert(systemClock.now() < deadline, `${what} has not come in ${patienceMs / 1000} s: ${detail()}`);
    await systemClock.sleep(20);
  }
}

export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-restarts-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Submits a job on the demo's data and gives its id. */
export async function submitJob(
  api: string,
  training: Record<string, unknown>,
  fleet: Record<string, unknown> = {},
  more: Record<string, unknown> = {},
): Promise<string> {
  const rows = (await Deno.readTextFile(join(assets, "train.jsonl"))).split("\n").slice(0, 64).join("\n");
  const form = new FormData();
  form.append("purpose", "fine-tune");
  form.append("file", new File([rows], "train.jsonl"));
  const file = await (await fetch(`${api}/files`, { method: "POST", body: form })).json();
  const response = await fetch(`${api}/fine_tuning/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "base",
      training_file: file.id,
      training,
      dataset: { max_seq_length: 64 },
      fleet,
      ...more,
    }),
  });
  const job = await response.json();
  assert(response.status === 200, JSON.stringify(job));
  return job.id;
}

export async function jobOf(
  api: string,
  id: string,
): Promise<{ status: string; step: number; error: unknown }> {
  return await (await fetch(`${api}/fine_tuning/jobs/${id}`)).json();
}

/** The messages of a job's events, oldest first. */
export async function messagesOf(api: string, id: string): Promise<string[]> {
  const page = await (await fetch(`${api}/fine_tuning/jobs/${id}/events?limit=1000`)).json();
  return page.data.map(({ message }: { message: string }) => message).reverse();
}

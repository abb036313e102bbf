/** Commands against the test RunPod under a clock that only tests move: hours pass in a second. */
import { assertEquals } from "@std/assert";
import { setImmediate } from "node:timers";
import type { UpOptions } from "../../deploy/runpod/commands.ts";
import { parseOptions } from "../../deploy/runpod/options.ts";
import { down } from "../../deploy/runpod/down.ts";
import { status } from "../../deploy/runpod/status.ts";
import { up } from "../../deploy/runpod/up.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { createFakeClock, type FakeClock } from "../../shared/testing/fake_clock.ts";
import { TestRunPod } from "./test_runpod.ts";

export const MINUTE = 60_000;
export const JOIN = "https://fleet.example:8787/join/jointoken123";
const ENVIRONMENT = {
  LORAFLEET_JOIN: JOIN,
  LORAFLEET_WORKER_IMAGE: "example/worker:1",
  HF_TOKEN: "hf_abcdefgh12345678",
};
/** A moment like any other: a pod's times are dates. */
const START = Date.UTC(2026, 0, 31, 18);

export interface PodsWorld {
  readonly clock: FakeClock;
  readonly runpod: TestRunPod;
  readonly stateFolder: string;
  readonly lines: string[];
  /** What the coordinator says of the job; an error: it does not answer. */
  job: string | Error;
  /** Answers the question. */
  agrees: boolean;
  /** Aborts: Ctrl-C, and Ctrl-C again. */
  readonly interrupt: AbortController;
  readonly interruptAgain: AbortController;
  /** `up` with these options until it ends; time passes meanwhile. */
  up(args: string, whileRunning?: Happening[]): Promise<LoraFleetError | null>;
  down(args?: string): Promise<LoraFleetError | null>;
  /** What GET /v1/workers answers, by the coordinator that is asked. */
  readonly workersOf: Map<string, unknown>;
  /** What `status` prints. */
  status(args?: string): Promise<string>;
}

/** Something that happens when its time has come. */
export interface Happening {
  /** Milliseconds after the start. */
  readonly at: number;
  readonly do: () => void;
}

export async function withPods(body: (world: PodsWorld) => Promise<void>): Promise<void> {
  const stateFolder = await Deno.makeTempDir({ prefix: "lorafleet-pods-" });
  const clock = createFakeClock(START);
  const runpod = new TestRunPod(clock);
  const connection = { apiUrl: "https://api.runpod.io", apiKey: runpod.apiKey, fetch: runpod.fetch, clock };
  const lines: string[] = [];
  let suffix = 0;
  const world: PodsWorld = {
    ...{ clock, runpod, stateFolder, lines, job: "running", agrees: true },
    ...{ interrupt: new AbortController(), interruptAgain: new AbortController() },
    up(args, happenings = []) {
      const options = parse(`up --state-folder ${stateFolder} ${args}`) as UpOptions;
      const running = up(options, {
        ...{ connection, signal: world.interrupt.signal, lastSignal: world.interruptAgain.signal },
        print: (line) => void lines.push(line),
        confirm: () => world.agrees,
        newSuffix: () => `s${++suffix}`,
        jobStatus: () => world.job instanceof Error ? Promise.reject(world.job) : Promise.resolve(world.job),
      });
      return finish(clock, running, happenings);
    },
    down(args = "") {
      const options = parse(`down --state-folder ${stateFolder} ${args}`);
      if (options?.kind !== "down") throw new Error("not down");
      const { signal } = new AbortController();
      return finish(clock, down(options, { connection, signal, print: (line) => void lines.push(line) }), []);
    },
    workersOf: new Map(),
    async status(args = "") {
      const options = parse(`status --state-folder ${stateFolder} ${args}`, {});
      if (options?.kind !== "status") throw new Error("not status");
      const printed: string[] = [];
      await status(options, {
        ...{ connection, signal: new AbortController().signal, print: (line) => void printed.push(line) },
        askForWorkers(coordinator) {
          const answer = world.workersOf.get(coordinator);
          if (answer !== undefined) return Promise.resolve(answer);
          return Promise.reject(
            new LoraFleetError("timeout", `the coordinator at ${coordinator} cannot be reached`),
          );
        },
      });
      return printed.join("\n");
    },
  };
  try {
    await body(world);
  } finally {
    await Deno.remove(stateFolder, { recursive: true });
  }
}

/** `up` with what every test needs; `RTX-3090` is a name without a space. */
function parse(line: string, env: Readonly<Record<string, string>> = ENVIRONMENT) {
  return parseOptions(line.trim().split(/ +/), (name) => env[name]);
}

/** Lets time pass until the command has ended; its error, if it is one for users. */
async function finish(
  clock: FakeClock,
  running: Promise<void>,
  happenings: readonly Happening[],
): Promise<LoraFleetError | null> {
  const start = clock.now();
  let outcome: { readonly error: unknown } | null = null;
  running.then(() => outcome = { error: null }, (error) => outcome = { error });
  const open = [...happenings].sort((a, b) => a.at - b.at);
  for (let turns = 0; outcome === null; turns++) {
    await idle();
    const next = clock.nextWakeAt ?? clock.now();
    const at = open[0] === undefined ? Infinity : start + open[0].at;
    if (at <= next) open.shift()!.do();
    await clock.advance(Math.max(0, Math.min(next, at) - clock.now()));
    if (turns > 200_000) throw new Error("the command does not end");
  }
  const { error } = outcome as { readonly error: unknown };
  if (error === null || error instanceof LoraFleetError) return error;
  throw error;
}

/** Requests and files in this process are done by then. */
async function idle(): Promise<void> {
  for (let turn = 0; turn < 12; turn++) {
    await new Promise((resolve) => void setImmediate(() => resolve(null)));
  }
}

/** Nothing costs money any more, and nothing has to be remembered. */
export async function assertNothingLeft({ runpod, stateFolder }: PodsWorld): Promise<void> {
  assertEquals(runpod.pods.left.map(({ name, status }) => `${name} ${status}`), []);
  const files = await Array.fromAsync(Deno.readDir(stateFolder), ({ name }) => name);
  assertEquals(files.filter((name) => !name.endsWith(".lock")), []);
}

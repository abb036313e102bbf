/**
 * `deno task deploy:runpod up | status | logs | down`. Exit codes: 0 done, 1 failed, 2 usage, 128 + signal if interrupted. The
 * first Ctrl-C removes what was rented, a second one leaves it.
 */
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { createRedactor } from "../../shared/redact.ts";
import { ApiClient } from "../client/api_client.ts";
import { type Connection, RUNPOD_API } from "./api/connection.ts";
import { down } from "./down.ts";
import { logs } from "./logs.ts";
import type { Options, UpOptions } from "./commands.ts";
import { parseOptions, USAGE } from "./options.ts";
import { status } from "./status.ts";
import { up } from "./up.ts";

const env = (name: string) => Deno.env.get(name) || undefined;
const secrets = createRedactor();
const print = (line: string) => console.log(secrets.redact(line));
const printError = (line: string) => console.error(secrets.redact(line));

const COORDINATOR_MS = 15_000;

interface Signals {
  readonly first: AbortSignal;
  readonly second: AbortSignal;
  /** Null: none came. */
  readonly exitCode: () => number | null;
  /** From now on; until then a signal ends the process. */
  readonly start: () => void;
}

function listen(): Signals {
  const [first, second] = [new AbortController(), new AbortController()];
  let code: number | null = null;
  const start = () =>
    addListeners((number, name) => {
      code = 128 + number;
      (first.signal.aborted ? second : first).abort(new LoraFleetError("aborted", name));
    });
  return { first: first.signal, second: second.signal, exitCode: () => code, start };
}

function addListeners(onSignal: (number: number, name: string) => void): void {
  for (const [signal, number] of [["SIGINT", 2], ["SIGTERM", 15], ["SIGHUP", 1]] as const) {
    if (Deno.build.os === "windows" && signal !== "SIGINT") continue;
    Deno.addSignalListener(signal, () => onSignal(number, signal));
  }
}

function connect(): Connection {
  const apiKey = env("RUNPOD_API_KEY");
  if (apiKey === undefined) {
    const message = "RUNPOD_API_KEY is not set: create a key at https://console.runpod.io/user/settings";
    throw new LoraFleetError("usage", message, { param: "RUNPOD_API_KEY" });
  }
  secrets.add(apiKey, env("LORAFLEET_API_KEY"));
  return { apiUrl: env("LORAFLEET_RUNPOD_API") ?? RUNPOD_API, apiKey, fetch, clock: systemClock };
}

async function runUp(options: UpOptions, connection: Connection): Promise<number> {
  secrets.add(options.joinUrl.split("/").at(-1), ...Object.values(options.env));
  if (!options.isConfirmed && !Deno.stdin.isTerminal()) {
    throw new LoraFleetError("usage", "nobody can be asked here: pass --yes to rent without a question");
  }
  const { first, second, exitCode, start } = listen();
  // While the question waits for its answer, nothing is rented and nothing else runs.
  const ask = (question: string) => {
    const isAgreed = confirm(question);
    start();
    return isAgreed;
  };
  if (options.isConfirmed) start();
  const coordinator = new ApiClient(options.coordinatorUrl ?? "", first, env("LORAFLEET_API_KEY") ?? null);
  try {
    await up(options, {
      ...{ connection, print, signal: first, lastSignal: second, confirm: ask },
      newSuffix: () => crypto.randomUUID().slice(0, 8),
      jobStatus: async (id) => (await coordinator.job(id)).status,
    });
    return 0;
  } catch (thrown) {
    const isLeft = thrown instanceof LoraFleetError && thrown.code !== "aborted";
    if (exitCode() === null || isLeft) throw thrown;
    return exitCode()!;
  }
}

/** Of a coordinator that answers soon. */
const workersFor = (signal: AbortSignal) => async (coordinator: string): Promise<unknown> => {
  const late = AbortSignal.timeout(COORDINATOR_MS);
  const key = env("LORAFLEET_API_KEY") ?? null;
  try {
    return await new ApiClient(coordinator, AbortSignal.any([signal, late]), key).json("/v1/workers");
  } catch (thrown) {
    if (!late.aborted) throw thrown;
    const message = `the coordinator at ${coordinator} has not answered in ${COORDINATOR_MS / 1000} s`;
    throw new LoraFleetError("timeout", message);
  }
};

async function run(options: Options): Promise<number> {
  const connection = connect();
  if (options.kind === "up") return await runUp(options, connection);
  const { first: signal, exitCode, start } = listen();
  start();
  const world = { connection, print, signal };
  try {
    if (options.kind === "down") await down(options, world);
    else if (options.kind === "status") {
      await status(options, { ...world, askForWorkers: workersFor(signal) });
    } else await logs(options, world);
    return 0;
  } catch (thrown) {
    if (exitCode() === null || options.kind === "down") throw thrown;
    return exitCode()!;
  }
}

async function main(): Promise<number> {
  try {
    const options = parseOptions(Deno.args, env);
    if (options !== null) return await run(options);
    console.log(USAGE);
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError)) {
      printError(thrown instanceof Error ? thrown.stack ?? "" : String(thrown));
    }
    const isUsage = thrown instanceof LoraFleetError && thrown.code === "usage";
    printError(`deploy:runpod: ${messageOf(thrown)}${isUsage ? "; --help lists all options" : ""}`);
    return isUsage ? 2 : 1;
  }
}

Deno.exit(await main());

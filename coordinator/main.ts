/**
 * `deno task coordinator`: reads the command line, starts the coordinator, prints how workers join, and stops all of it
 * on a signal. Exit codes: 0 stopped by SIGTERM, 1 failed, 2 usage, 130 interrupted.
 */
import { connectNatsBus } from "../shared/bus/nats_bus.ts";
import { systemClock } from "../shared/clock.ts";
import { LoraFleetError, messageOf } from "../shared/errors.ts";
import { parseConfig, USAGE } from "./config.ts";
import type { CoordinatorConfig } from "./config.ts";
import { checkModelForJob, prepareJob } from "./job_prepare.ts";
import { createFleet, type FleetOptions } from "./job_runner.ts";
import { startCoordinator } from "./main_start.ts";
import type { Broker, ConnectedFleet, CoordinatorParts } from "./main_start.ts";

/** Whatever does not end in this time is left to end with the process. */
const STOP_TIMEOUT_MS = 15_000;
/** A broker that does not answer for so long is not ready. */
const BROKER_ANSWER_MS = 2000;

function log(level: "info" | "warn" | "error", message: string): void {
  console.error(`${new Date(systemClock.now()).toISOString()} ${level.padEnd(5)} ${message}`);
}

async function main(config: CoordinatorConfig): Promise<number> {
  const signalled = Promise.withResolvers<number>();
  let signalCount = 0;
  for (const [signal, exitCode] of [["SIGINT", 130], ["SIGTERM", 0]] as const) {
    Deno.addSignalListener(signal, () => {
      // Who presses Ctrl-C twice does not want to wait.
      if (++signalCount > 1) Deno.exit(130);
      signalled.resolve(exitCode);
    });
  }
  const parts: CoordinatorParts = {
    clock: systemClock,
    connectFleet,
    prepare: prepareJob,
    checkModel: checkModelForJob,
    log,
  };
  const running = await startCoordinator(config, parts);
  const who = config.apiKeys.length === 0 ? "this machine alone, without a key" : "with an API key";
  console.log(`lorafleet coordinator: API at ${running.url}/v1 (${who})`);
  console.log(`deno task worker --join ${running.joinUrl}`);

  const broken = running.broken.then((reason) => {
    log("error", reason);
    return 1;
  });
  const exitCode = await Promise.race([signalled.promise, broken]);
  const stopped = running.stop().then(() => true);
  const inTime = await Promise.race([stopped, systemClock.sleep(STOP_TIMEOUT_MS).then(() => false)]);
  if (!inTime) log("warn", `not everything has stopped after ${STOP_TIMEOUT_MS} ms`);
  return exitCode;
}

/** The fleet over NATS. Throws a `LoraFleetError` where the broker cannot be reached or refuses us. */
async function connectFleet(
  broker: Broker,
  options: Pick<FleetOptions, "artifacts" | "coordinatorId">,
): Promise<ConnectedFleet> {
  const onDefect = (message: string, thrown: unknown) => log("warn", `${message}: ${messageOf(thrown)}`);
  const { url, user, password, credsPath } = broker;
  const bus = await connectNatsBus({
    servers: url,
    name: "lorafleet coordinator",
    onError: onDefect,
    ...(user === null ? {} : { user }),
    ...(password === null ? {} : { pass: password }),
    ...(credsPath === null ? {} : { credentials: await Deno.readFile(credsPath) }),
  });
  bus.onStatus((status) => log(status === "disconnected" ? "warn" : "info", `broker ${url}: ${status}`));
  const fleet = createFleet({ ...options, bus, clock: systemClock, onDefect });
  return {
    fleet,
    async problem() {
      const answer = bus.flush().then(() => null, messageOf);
      const late = systemClock.sleep(BROKER_ANSWER_MS).then(() => `no answer in ${BROKER_ANSWER_MS} ms`);
      return await Promise.race([answer, late]);
    },
    async close() {
      fleet.close();
      await bus.close();
    },
  };
}

let config: CoordinatorConfig | null;
try {
  config = parseConfig(Deno.args, (name) => Deno.env.get(name));
} catch (thrown) {
  if (!(thrown instanceof LoraFleetError)) throw thrown;
  console.error(`coordinator: ${thrown.message}\n\n${USAGE}`);
  Deno.exit(2);
}
if (config === null) {
  console.log(USAGE);
  Deno.exit(0);
}
try {
  Deno.exit(await main(config));
} catch (thrown) {
  if (!(thrown instanceof LoraFleetError)) throw thrown;
  console.error(`coordinator: ${thrown.message}`);
  Deno.exit(thrown.code === "usage" || thrown.code === "missing_dependency" ? 2 : 1);
}

/**
 * `deno task coordinator`: reads the command line, starts the coordinator or stands by, prints the command that joins a
 * worker, and stops everything on a signal. Exit codes: 0 stopped by SIGTERM, 1 failed, 2 usage, 130 interrupted.
 */
import { systemClock } from "../shared/clock.ts";
import { LoraFleetError } from "../shared/errors.ts";
import { LIMITS } from "../shared/protocol/limits.ts";
import { catchUncaught, detailOf, type Logger, processLogger } from "../shared/log.ts";
import { asksForVersion, versionLine } from "../shared/protocol/release.ts";
import { assertAdapterMoved } from "./jobs/results/adapter_check.ts";
import { type CoordinatorConfig, parseConfig, USAGE } from "./config/config.ts";
import { trackerSecrets } from "./config/tracker_settings.ts";
import { connectFleet } from "./start/connect_fleet.ts";
import { preparationWith } from "./planning/preparation/preparation_child.ts";
import { checkNewJob } from "./planning/preparation/prepare_rows.ts";
import { type RunningCoordinator, startCoordinator } from "./start/start.ts";
import type { CoordinatorParts } from "./start/parts.ts";
import { openPreparer } from "./planning/preparer.ts";

/** Whatever takes longer ends with the process. */
const STOP_TIMEOUT_MS = 15_000;

async function main(config: CoordinatorConfig, { log, secrets }: Logger): Promise<number> {
  secrets.add(...config.apiKeys, config.joinToken, config.hub.token, ...trackerSecrets(config.trackers));
  log("info", versionLine());
  for (const warning of config.warnings) log("warn", warning);
  const signalled = Promise.withResolvers<number>();
  let signalCount = 0;
  for (const [signal, exitCode] of [["SIGINT", 130], ["SIGTERM", 0]] as const) {
    Deno.addSignalListener(signal, () => {
      // A second Ctrl-C ends the process at once.
      if (++signalCount > 1) Deno.exit(130);
      signalled.resolve(exitCode);
    });
  }
  const waiting = new AbortController();
  signalled.promise.then(() => waiting.abort(new LoraFleetError("aborted", "stopped while standing by")));
  const limits = { ...LIMITS, stateLossGraceMs: config.stateGraceMs };
  const parts: CoordinatorParts = {
    clock: systemClock,
    signal: waiting.signal,
    connectFleet: (...rest) => connectFleet({ clock: systemClock, log, limits }, ...rest),
    openPreparer: (folder) => openPreparer(folder, systemClock, preparationWith(config.preparationThreads)),
    checkModel: checkNewJob,
    checkAdapter: assertAdapterMoved,
    log,
  };
  let running: RunningCoordinator;
  try {
    running = await startCoordinator(config, parts);
  } catch (thrown) {
    if (thrown === waiting.signal.reason) return await signalled.promise;
    throw thrown;
  }
  const who = config.apiKeys.length === 0 ? "this machine only, without a key" : "with an API key";
  console.log(`lorafleet coordinator: API at ${running.url}/v1 (${who})`);
  console.log(`deno task worker --join ${running.joinUrl}`);

  const broken = running.broken.then((reason) => {
    log("error", reason);
    return 1;
  });
  const exitCode = await Promise.race([signalled.promise, broken]);
  const stopped = running.stop().then(() => true);
  const inTime = await Promise.race([stopped, systemClock.sleep(STOP_TIMEOUT_MS).then(() => false)]);
  if (!inTime) log("warn", `still stopping after ${STOP_TIMEOUT_MS} ms; exiting anyway`);
  return exitCode;
}

/** @returns the exit code */
async function run(logger: Logger): Promise<number> {
  let config: CoordinatorConfig | null;
  try {
    if (asksForVersion(Deno.args)) {
      console.log(versionLine());
      return 0;
    }
    config = parseConfig(Deno.args, (name) => Deno.env.get(name));
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError)) throw thrown;
    logger.print(`coordinator: ${thrown.message}; --help lists all options`);
    return 2;
  }
  if (config === null) {
    console.log(USAGE);
    return 0;
  }
  try {
    return await main(config, logger);
  } catch (thrown) {
    logger.print(`coordinator: ${detailOf(thrown)}`);
    const isUsers = thrown instanceof LoraFleetError &&
      (thrown.code === "usage" || thrown.code === "missing_dependency");
    return isUsers ? 2 : 1;
  }
}

const logger = processLogger(systemClock, (name) => Deno.env.get(name), Deno.exit);
catchUncaught(logger, Deno.exit);
Deno.exit(await run(logger));

/** `deno task worker --join <url>`: probes the GPU and works for a fleet until a signal ends it. Exit codes: see `USAGE`. */
import { join } from "@std/path";
import { systemClock } from "../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import { newIncarnation } from "../shared/protocol/ids.ts";
import { LIMITS } from "../shared/protocol/limits.ts";
import { asksForVersion, versionLine } from "../shared/protocol/release.ts";
import { catchUncaught, detailOf, type Log, logAbout, type Logger, processLogger } from "../shared/log.ts";
import { type Agent, startAgent } from "./fleet/agent.ts";
import { createAliveFile, forgetEarlierLife } from "./fleet/alive_file.ts";
import { BaseModels } from "./transfer/base_model.ts";
import { createCheckpointWriter } from "./transfer/checkpoint_upload.ts";
import { parseConfig, USAGE, type WorkerConfig } from "./config.ts";
import { openFirstGpu } from "./device/first_gpu.ts";
import { createExportMeasurer } from "./evaluate/measure_export.ts";
import { startEngineThread } from "./engine/engine_client.ts";
import { createWorkerIdentity } from "./fleet/identity.ts";
import { waitUntilLeaving } from "./fleet/leaving.ts";
import { endFailed } from "./fleet/failed_worker.ts";
import { removeOwnPod } from "./fleet/own_pod.ts";
import { readTlsTrust, type TlsTrust } from "./fleet/tls_trust.ts";

/** An interrupted worker must not keep its user waiting; the fleet notices soon enough. */
const INTERRUPTED_MS = 1500;

/** Windows has Ctrl-Break instead of SIGTERM. */
const STOP = Deno.build.os === "windows" ? "SIGBREAK" : "SIGTERM";

/** The GPU's name. Throws a `LoraFleetError` with code `no_gpu` before the worker joins. */
async function probeGpu(config: WorkerConfig): Promise<string> {
  const gpu = await openFirstGpu(config);
  const { description } = gpu;
  gpu.close();
  return description;
}

function start(config: WorkerConfig, gpu: string, { fetch, ca }: TlsTrust, log: Log): Agent {
  const { cacheFolder } = config;
  const common = { fetch, clock: systemClock, limits: LIMITS, log };
  const models = new BaseModels({ ...common, cacheFolder, hub: { ...config.hub, fetch } });
  const identity = createWorkerIdentity({
    ...common,
    url: config.joinUrl,
    ...{ tlsCa: ca, natsUrl: config.natsUrl },
    timeoutMs: LIMITS.coordinatorSilentMs,
    onBusError: (message, thrown) => log("error", `${message}: ${messageOf(thrown)}`),
  });
  const { aliveFile } = config;
  const notAlive = (thrown: unknown) => log("warn", `cannot write ${quote(aliveFile)}: ${messageOf(thrown)}`);
  return startAgent({
    ...aliveFile === null ? {} : { onBeat: createAliveFile(aliveFile, systemClock, notAlive) },
    ...{
      ...common,
      ...identity,
      log: logAbout(log, { worker: identity.worker }),
      name: config.name,
      gpu,
      newIncarnation,
    },
    newEngine: (tell) => startEngineThread(undefined, tell),
    engineLimits: {
      ...{ allowCpu: config.allowCpu, memoryBudgetBytes: config.memoryBudgetBytes },
      gpuMemoryFile: join(cacheFolder, "gpu_memory.json"),
      nf4Cache: config.nf4Cache,
    },
    findBaseModel: (reply, job, signal) => models.find(reply, job, signal),
    writeCheckpoint: createCheckpointWriter({ ...common, cacheFolder }),
    measure: createExportMeasurer({ ...common, cacheFolder, models, allowCpu: config.allowCpu }),
  });
}

async function main(config: WorkerConfig, logger: Logger): Promise<number> {
  const { joinUrl, hub, pod, aliveFile } = config;
  logger.secrets.add(new URL(joinUrl).pathname.split("/").at(-1), hub.token, pod?.apiKey);
  if (aliveFile !== null) await forgetEarlierLife(aliveFile);
  try {
    return await work(config, logger);
  } catch (thrown) {
    const common = { fetch, clock: systemClock, log: logger.log, signal: stopSignal() };
    await endFailed(thrown, { ...common, aliveFile, pod, isPod: Deno.env.has("RUNPOD_POD_ID") });
    throw thrown;
  }
}

/** Aborted by whoever stops a worker that has failed. */
function stopSignal(): AbortSignal {
  const stopped = new AbortController();
  for (const name of [STOP, "SIGINT"] as const) Deno.addSignalListener(name, () => stopped.abort());
  return stopped.signal;
}

async function work(config: WorkerConfig, { log }: Logger): Promise<number> {
  const trust = await readTlsTrust(config.tlsCaPath);
  log("info", versionLine());
  const gpu = await probeGpu(config);
  log("info", `GPU: ${gpu}`);
  const agent = start(config, gpu, trust, log);
  const interrupted = Promise.withResolvers<number>();
  let signalCount = 0;
  Deno.addSignalListener(STOP, () => agent.drain());
  Deno.addSignalListener("SIGINT", () => {
    if (++signalCount > 1) Deno.exit(130);
    interrupted.resolve(130);
  });
  const ended = new AbortController();
  const leaving = leaveByItself(agent, config, log, ended.signal);
  const exitCode = await Promise.race([agent.ended.then(() => 0), interrupted.promise]);
  ended.abort();
  await Promise.race([agent.stop(), systemClock.sleep(INTERRUPTED_MS)]);
  if (await leaving && config.pod !== null) {
    await removeOwnPod(config.pod, { fetch, clock: systemClock, log });
  }
  return exitCode;
}

/** Drains the worker when its rules say so. @returns whether they did */
async function leaveByItself(
  agent: Agent,
  { leaving: rules }: WorkerConfig,
  log: Log,
  signal: AbortSignal,
): Promise<boolean> {
  const reason = await waitUntilLeaving({ clock: systemClock, rules, isIdle: () => agent.isIdle, signal });
  if (reason === null) return false;
  log("info", `leaving: ${reason}`);
  agent.drain();
  return true;
}

/** @returns the exit code */
async function run(logger: Logger): Promise<number> {
  try {
    if (asksForVersion(Deno.args)) {
      console.log(versionLine());
      return 0;
    }
    const config = parseConfig(Deno.args, (name) => Deno.env.get(name), Deno.hostname);
    if (config !== null) return await main(config, logger);
    console.log(USAGE);
    return 0;
  } catch (thrown) {
    const isUsage = thrown instanceof LoraFleetError && thrown.code === "usage";
    if (isUsage) logger.print(`worker: ${thrown.message}; --help lists all options`);
    else logger.log("error", detailOf(thrown));
    return isUsage ? 2 : 1;
  }
}

if (import.meta.main) {
  const logger = processLogger(systemClock, (name) => Deno.env.get(name), Deno.exit);
  catchUncaught(logger, Deno.exit);
  Deno.exit(await run(logger));
}

/**
 * `deno task worker --join <url>`: reads the command line, looks for the GPU, and takes part in a fleet until a signal ends it.
 * Exit codes: 0 left after SIGTERM, 1 failed, 2 usage, 130 interrupted.
 */
import { systemClock } from "../shared/clock.ts";
import { LoraFleetError, messageOf } from "../shared/errors.ts";
import { newIncarnation } from "../shared/ids.ts";
import { LIMITS } from "../shared/limits.ts";
import { type Agent, startAgent } from "./agent.ts";
import { createBaseModels } from "./base_model.ts";
import { createCheckpointWriter } from "./checkpoint_upload.ts";
import { parseConfig, USAGE, type WorkerConfig } from "./config.ts";
import { openFirstGpu } from "./device/first_gpu.ts";
import { startEngineThread } from "./engine/engine_client.ts";
import { createWorkerIdentity } from "./identity.ts";
import type { LogLevel } from "./log.ts";
import { readTlsTrust, type TlsTrust } from "./tls_trust.ts";

/** Whoever interrupts a worker does not want to wait; its fleet notices soon enough. */
const INTERRUPTED_MS = 1500;

function log(level: LogLevel, message: string): void {
  console.error(`${new Date(systemClock.now()).toISOString()} ${level.padEnd(5)} ${message}`);
}

/** The GPU's name. Throws a `LoraFleetError` with code `no_gpu` before anybody counts on this worker. */
async function probeGpu(config: WorkerConfig): Promise<string> {
  const gpu = await openFirstGpu(config);
  const { description } = gpu;
  gpu.close();
  return description;
}

function start(config: WorkerConfig, gpu: string, { fetch, ca }: TlsTrust): Agent {
  const { cacheFolder } = config;
  const common = { fetch, clock: systemClock, limits: LIMITS, log };
  const models = createBaseModels({ ...common, cacheFolder, hub: config.hub });
  const identity = createWorkerIdentity({
    ...common,
    url: config.joinUrl,
    tlsCa: ca,
    timeoutMs: LIMITS.coordinatorSilentMs,
    onBusError: (message, thrown) => log("error", `${message}: ${messageOf(thrown)}`),
  });
  return startAgent({
    ...identity,
    name: config.name,
    gpu,
    newIncarnation,
    newEngine: () => startEngineThread(),
    engineLimits: { allowCpu: config.allowCpu, memoryBudgetBytes: config.memoryBudgetBytes },
    findBaseModel: (reply, job, signal) => models.find(reply, job, signal),
    writeCheckpoint: createCheckpointWriter({ ...common, cacheFolder }),
    clock: systemClock,
    limits: LIMITS,
    log,
  });
}

async function main(config: WorkerConfig): Promise<number> {
  const trust = await readTlsTrust(config.tlsCaPath);
  const gpu = await probeGpu(config);
  log("info", `GPU: ${gpu}`);
  const agent = start(config, gpu, trust);
  const interrupted = Promise.withResolvers<number>();
  let signalCount = 0;
  // Windows has no SIGTERM; Ctrl-Break is what it has.
  Deno.addSignalListener(Deno.build.os === "windows" ? "SIGBREAK" : "SIGTERM", () => {
    log("info", "draining: this worker finishes its step and leaves");
    agent.drain();
  });
  Deno.addSignalListener("SIGINT", () => {
    if (++signalCount > 1) Deno.exit(130);
    interrupted.resolve(130);
  });
  const exitCode = await Promise.race([agent.ended.then(() => 0), interrupted.promise]);
  await Promise.race([agent.stop(), systemClock.sleep(INTERRUPTED_MS)]);
  return exitCode;
}

if (import.meta.main) {
  try {
    const config = parseConfig(Deno.args, (name) => Deno.env.get(name), Deno.hostname);
    if (config === null) console.log(USAGE);
    Deno.exit(config === null ? 0 : await main(config));
  } catch (thrown) {
    const isUsage = thrown instanceof LoraFleetError && thrown.code === "usage";
    if (isUsage) console.error(`${thrown.message}\n\n${USAGE}`);
    else {log(
        "error",
        thrown instanceof LoraFleetError ? thrown.message : String((thrown as Error).stack ?? thrown),
      );}
    Deno.exit(isUsage ? 2 : 1);
  }
}

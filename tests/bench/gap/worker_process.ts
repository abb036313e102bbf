/** A worker as it is, with the engine that owns the GPU, but that its engine's calls are written down. */
import { parseArgs } from "node:util";
import { systemClock } from "../../../shared/clock.ts";
import { messageOf } from "../../../shared/errors.ts";
import { newIncarnation } from "../../../shared/protocol/ids.ts";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { startEngineThread } from "../../../worker/engine/engine_client.ts";
import { startAgent } from "../../../worker/fleet/agent.ts";
import { createWorkerIdentity } from "../../../worker/fleet/identity.ts";
import { createCheckpointWriter } from "../../../worker/transfer/checkpoint_upload.ts";
import { timed, type TimedCall } from "./timed_engine.ts";

const { values } = parseArgs({
  options: { join: { type: "string" }, name: { type: "string" }, "cache-folder": { type: "string" } },
});
const say = (level: string, message: string) => {
  if (level === "warn" || level === "error") console.error(`${values.name} ${level}: ${message}`);
};
const common = { fetch, clock: systemClock, limits: LIMITS, log: say };
const identity = createWorkerIdentity({
  ...{ ...common, url: values.join!, timeoutMs: 5000, tlsCa: null },
  onBusError: (message, thrown) => say("error", `${message}: ${messageOf(thrown)}`),
});
const calls: TimedCall[] = [];
const agent = startAgent({
  ...{ ...common, ...identity, name: values.name!, gpu: "timed", newIncarnation },
  newEngine: (tell) => timed(startEngineThread(undefined, tell), values.name!, (call) => calls.push(call)),
  engineLimits: { allowCpu: true, memoryBudgetBytes: null },
  findBaseModel: (_reply, job) => Promise.resolve(job.modelFolder),
  writeCheckpoint: createCheckpointWriter({ ...common, cacheFolder: values["cache-folder"]! }),
});
Deno.addSignalListener("SIGTERM", () => agent.drain());
await agent.ended;
// At the end, so that writing costs no step anything.
for (const call of calls) console.log(JSON.stringify(call));
Deno.exit(0);

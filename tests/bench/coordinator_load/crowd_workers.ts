/** A process of many workers that are members and do nothing: the running job does not load on them. */
import { parseArgs } from "node:util";
import { systemClock } from "../../../shared/clock.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { newIncarnation } from "../../../shared/protocol/ids.ts";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { startAgent } from "../../../worker/fleet/agent.ts";
import { createWorkerIdentity } from "../../../worker/fleet/identity.ts";

const { values } = parseArgs({ options: { join: { type: "string" }, count: { type: "string" } } });

const common = { fetch, clock: systemClock, limits: LIMITS, log: () => {} };
const refuse = () => Promise.reject(new LoraFleetError("gpu_failure", "this worker has no room for the job"));

for (let index = 0; index < Number(values.count); index++) {
  const identity = createWorkerIdentity({
    ...{ ...common, url: values.join!, tlsCa: null, timeoutMs: 60_000 },
    onBusError: (message) => console.error(message),
  });
  startAgent({
    ...{ ...common, ...identity, name: `idle-${index}`, gpu: "none", newIncarnation },
    newEngine: () => {
      throw new Error("an idle worker has no engine");
    },
    engineLimits: { allowCpu: true, memoryBudgetBytes: null },
    findBaseModel: refuse,
    writeCheckpoint: refuse,
  });
  // They do not arrive in one instant.
  await systemClock.sleep(20);
}

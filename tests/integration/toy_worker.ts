/** A worker in the test's own process: everything real but the GPU and the base model. */
import { join } from "@std/path";
import { connectNatsBus } from "../../shared/bus/nats_bus.ts";
import { systemClock } from "../../shared/clock.ts";
import { newIncarnation } from "../../shared/ids.ts";
import { LIMITS } from "../../shared/limits.ts";
import { type Agent, startAgent } from "../../worker/agent.ts";
import { createCheckpointWriter } from "../../worker/checkpoint_upload.ts";
import { askJoinUrl } from "../../worker/join.ts";
import { createToyEngine } from "../../worker/toy_engine.ts";

export interface ToyWorkerOptions {
  readonly id: string;
  readonly joinUrl: string;
  readonly cacheFolder: string;
  /** What a gradient takes. */
  readonly gradientMs: number;
}

export function startToyWorker({ id, joinUrl, cacheFolder, gradientMs }: ToyWorkerOptions): Agent {
  const common = { fetch, clock: systemClock, limits: LIMITS, log: () => {} };
  return startAgent({
    worker: id,
    name: id,
    gpu: "toy",
    newIncarnation,
    join: (signal) => askJoinUrl({ ...common, url: joinUrl, timeoutMs: 5000, signal }),
    connect: ({ natsUrl, natsUser, natsPassword }, purpose) =>
      connectNatsBus({
        ...{ servers: natsUrl, user: natsUser, pass: natsPassword, name: `${id} ${purpose}` },
        // Everything that fails while a broker is away is tried again by whoever asked.
        onError: () => {},
      }),
    newEngine: () =>
      createToyEngine({
        clock: systemClock,
        delayMs: (call) => call === "computeGradient" ? gradientMs : 0,
      }),
    engineLimits: { allowCpu: true, memoryBudgetBytes: null },
    findBaseModel: (_reply, job) => Promise.resolve(job.modelFolder),
    writeCheckpoint: createCheckpointWriter({ ...common, cacheFolder: join(cacheFolder, id) }),
    ...{ clock: systemClock, limits: LIMITS, log: () => {} },
  });
}

/** A worker in the test's own process: everything real but the GPU and the base model. */
import { join } from "@std/path";
import { systemClock } from "../../shared/clock.ts";
import { newIncarnation } from "../../shared/protocol/ids.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { type Agent, startAgent } from "../../worker/fleet/agent.ts";
import { createCheckpointWriter } from "../../worker/transfer/checkpoint_upload.ts";
import { createExportMeasurer } from "../../worker/evaluate/measure_export.ts";
import { createWorkerIdentity } from "../../worker/fleet/identity.ts";
import type { Engine } from "../../worker/engine/engine.ts";
import { createToyEngine, type ToyEngineOptions } from "../../worker/testing/toy_engine.ts";

export interface ToyWorkerOptions {
  /** For a person. */
  readonly name: string;
  readonly joinUrl: string;
  readonly cacheFolder: string;
  /** What a gradient takes. */
  readonly gradientMs: number;
  /** Changes a gradient, as a broken GPU would. */
  readonly spoil?: ToyEngineOptions["spoil"];
  /** The broker's address for it, if not as the join URL says. */
  readonly natsUrl?: string;
  /** Whether it answers that it cannot measure a merge, having no GPU; otherwise it does not answer. */
  readonly refusesToMeasure?: boolean;
  /** Runs before each call of its engine. */
  readonly onCall?: (call: keyof Engine) => void;
}

/** Says at once that it cannot. */
const refusal = (cacheFolder: string) =>
  createExportMeasurer({
    ...{ fetch, clock: systemClock, limits: LIMITS, log: () => {} },
    ...{ cacheFolder, allowCpu: true },
    models: { find: (_reply, { modelFolder }) => Promise.resolve(modelFolder) },
    measure: () => Promise.reject(new Error("a toy worker measures nothing")),
  });

export function startToyWorker(options: ToyWorkerOptions): Agent {
  const { name, joinUrl, cacheFolder, gradientMs, natsUrl, spoil = () => {}, onCall = () => {} } = options;
  const common = { fetch, clock: systemClock, limits: LIMITS, log: () => {} };
  return startAgent({
    ...options.refusesToMeasure === true ? { measure: refusal(cacheFolder) } : {},
    ...createWorkerIdentity({
      ...common,
      url: joinUrl,
      timeoutMs: 5000,
      ...{ tlsCa: null, natsUrl: natsUrl ?? null },
      // Everything that fails while a broker is away is tried again by whoever asked.
      onBusError: () => {},
    }),
    name,
    gpu: "toy",
    newIncarnation,
    newEngine: () =>
      createToyEngine({
        clock: systemClock,
        spoil,
        delayMs(call) {
          onCall(call);
          return call === "computeGradient" ? gradientMs : 0;
        },
      }),
    engineLimits: { allowCpu: true, memoryBudgetBytes: null },
    findBaseModel: (_reply, job) => Promise.resolve(job.modelFolder),
    writeCheckpoint: createCheckpointWriter({ ...common, cacheFolder: join(cacheFolder, name) }),
    ...{ clock: systemClock, limits: LIMITS, log: () => {} },
  });
}

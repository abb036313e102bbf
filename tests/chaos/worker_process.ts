/**
 * A worker as a process, to be killed and stopped: all of it is the real one but two things. Its broker is
 * reached at `--nats-port`, if given, behind which a proxy may be, and its engine keeps a book of what is in its sums,
 * on standard output. `--engine gpu` is the real engine, too; `--engine toy` needs no GPU and takes
 * `--gradient-ms` for each micro-batch.
 */
import { parseArgs } from "node:util";
import { systemClock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import { newIncarnation } from "../../shared/protocol/ids.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { startAgent } from "../../worker/fleet/agent.ts";
import { createCheckpointWriter } from "../../worker/transfer/checkpoint_upload.ts";
import { startEngineThread } from "../../worker/engine/engine_client.ts";
import { createWorkerIdentity } from "../../worker/fleet/identity.ts";
import { createToyEngine } from "../../worker/testing/toy_engine.ts";
import { keepBook, writeLine } from "./book_engine.ts";

const { values } = parseArgs({
  options: {
    ...{ join: { type: "string" }, "nats-port": { type: "string" }, "cache-folder": { type: "string" } },
    ...{ name: { type: "string" }, engine: { type: "string" }, "gradient-ms": { type: "string" } },
    "factor-size": { type: "string" },
  },
});

const common = {
  fetch,
  clock: systemClock,
  limits: LIMITS,
  log: (level: string, message: string) => console.error(`${level}: ${message}`),
};
const identity = createWorkerIdentity({
  ...common,
  url: values.join!,
  timeoutMs: 5000,
  tlsCa: null,
  onBusError: (message, thrown) => console.error(`bus: ${message}: ${messageOf(thrown)}`),
});
const { worker } = identity;
const newEngine = () =>
  values.engine === "gpu" ? startEngineThread() : createToyEngine({
    clock: systemClock,
    factorSize: Number(values["factor-size"]),
    delayMs: (call) => call === "computeGradient" ? Number(values["gradient-ms"]) : 0,
  });
const agent = startAgent({
  ...common,
  worker,
  join: identity.join,
  connect: (reply, ...rest) => {
    const port = values["nats-port"];
    const natsUrl = port === undefined ? reply.natsUrl : `nats://127.0.0.1:${port}`;
    return identity.connect({ ...reply, natsUrl }, ...rest);
  },
  name: values.name!,
  gpu: values.engine!,
  newIncarnation,
  newEngine: () => keepBook(newEngine(), worker),
  engineLimits: { allowCpu: true, memoryBudgetBytes: null },
  findBaseModel: (_reply, job) => Promise.resolve(job.modelFolder),
  writeCheckpoint: createCheckpointWriter({ ...common, cacheFolder: values["cache-folder"]! }),
});
Deno.addSignalListener("SIGTERM", () => agent.drain());
writeLine({ type: "started", worker });
await agent.ended;
Deno.exit(0);

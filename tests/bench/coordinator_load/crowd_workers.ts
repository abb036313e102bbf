/**
 * A process of many workers that are members and do nothing. To coordinator and broker they are real: keys of their own, two
 * connections each, hello, a heartbeat four times a second with "this job does not run here". What the fleet announces arrives
 * and is not read: a hundred readers would measure this process, which on their own machines would be a hundred.
 */
import { parseArgs } from "node:util";
import type { Bus } from "../../../shared/bus/bus.ts";
import { systemClock } from "../../../shared/clock.ts";
import { decodeMessage } from "../../../shared/protocol/messages_codec.ts";
import { fleetStateSchema } from "../../../shared/protocol/messages_coordinator.ts";
import type { WorkerJob } from "../../../shared/protocol/messages_worker.ts";
import { newIncarnation } from "../../../shared/protocol/ids.ts";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { FLEET_SUBJECT } from "../../../shared/protocol/subjects.ts";
import { Drain } from "../../../worker/fleet/drain.ts";
import { startHeartbeats } from "../../../worker/fleet/heartbeat.ts";
import { sayHello } from "../../../worker/fleet/hello.ts";
import { createWorkerIdentity } from "../../../worker/fleet/identity.ts";
import { Telemetry } from "../../../worker/step/telemetry.ts";

const { values } = parseArgs({ options: { join: { type: "string" }, count: { type: "string" } } });

const runtime = { clock: systemClock, limits: LIMITS, log: () => {} };
const NEVER = new AbortController().signal;

/** One announcement, which names the job. */
async function announcedJob(bus: Bus): Promise<WorkerJob> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  bus.subscribe(FLEET_SUBJECT, ({ data }) => resolve(data));
  const { job } = decodeMessage(fleetStateSchema, await promise, "the state of the fleet");
  if (job === null) throw new Error("no job is announced");
  const { jobId, startId } = job;
  return {
    phase: "failed",
    jobId,
    startId,
    code: "gpu_failure",
    message: "no room for the job",
    param: null,
  };
}

async function startIdleWorker(index: number): Promise<void> {
  const identity = createWorkerIdentity({
    ...{ fetch, clock: systemClock, url: values.join!, tlsCa: null, timeoutMs: 60_000 },
    onBusError: (message, thrown) => console.error(message, String(thrown)),
  });
  const { worker } = identity;
  const reply = await identity.join(NEVER, null);
  const token = () => reply.token ?? "";
  const bus = await identity.connect(reply, "control", token);
  await identity.connect(reply, "gradients", token);
  const self = { worker, incarnation: newIncarnation() };
  const [name, gpu, drain] = [`idle-${index}`, "none", new Drain(systemClock, LIMITS)];
  const welcome = await sayHello({ ...runtime, bus, self, name, gpu, signal: NEVER, drain });
  if (welcome === null || welcome === "left" || welcome.type !== "welcome") throw new Error("not welcome");
  const job = await announcedJob(bus);
  const telemetry = new Telemetry(systemClock);
  const describe = () => ({ ...self, name, gpu, draining: false, maxGapMs: 0, job, ...telemetry.report() });
  startHeartbeats({ ...runtime, bus, describe, signal: NEVER });
}

for (let index = 0; index < Number(values.count); index++) await startIdleWorker(index);

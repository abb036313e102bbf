/** The fleet over the bus: its members, and the training of one job at a time. membership.ts and training/step.ts decide. */
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { newStartId } from "../../../shared/protocol/ids.ts";
import { announcementPauseMs, LIMITS } from "../../../shared/protocol/limits.ts";
import type { JobEnd } from "../../../shared/protocol/messages_coordinator.ts";
import * as subjects from "../../../shared/protocol/subjects.ts";
import { createMemoryQuarantineStore, createQuarantines } from "../../access/quarantines.ts";
import { createBrokerHealth } from "../../broker/broker_health.ts";
import type { Fleet } from "../fleet.ts";
import { createFloodGuard } from "../flood_guard.ts";
import { createPaced } from "../paced.ts";
import { createBrokerNotices } from "./broker_notices.ts";
import { createConnectivity } from "./connectivity.ts";
import { keepTime } from "./fleet_clock.ts";
import type { FleetContext, FleetOptions } from "./fleet_context.ts";
import { listenToMembers, publishFleet, showFleet } from "./members.ts";
import { askToMeasure, measurersOf } from "./measurers.ts";
import { fleetViewOf, NO_MEMBERS } from "./membership.ts";
import { trainJob } from "./train_job.ts";
import { workerViews } from "./worker_views.ts";

export interface RunningFleet extends Fleet {
  close(): void;
}

export function createFleet(options: FleetOptions): RunningFleet {
  const closing = new AbortController();
  const fleet = createContext(options, closing.signal);
  const { bus, clock, limits, health, onDefect } = fleet;
  const connectivity = createConnectivity(clock.now(), limits, options.isHeld);
  bus.onStatus((status) => connectivity.statusChanged(status, clock.now()));
  const subscriptions = listenToMembers(fleet);
  keepTime(fleet, connectivity, createBrokerNotices(health, clock)).catch((thrown) => {
    if (!closing.signal.aborted) onDefect("the fleet's clock has stopped", thrown);
  });

  return {
    workers: () => workerViews(fleet),
    checkpointAssignment: (jobId) =>
      fleet.job?.jobId === jobId ? fleet.run?.checkpointAssignment() ?? null : null,
    checkpointDamaged: (jobId, step) =>
      fleet.job?.jobId === jobId && fleet.run?.checkpointDamaged(step) === true,
    measurers: () => measurersOf(fleet),
    askToMeasure: (measurement) => askToMeasure(fleet, measurement),
    reinstate: (worker) => reinstate(fleet, worker),
    train: (job, observer, signal) => trainJob(fleet, job, observer, signal),
    forget: (jobId, end) => forget(fleet, jobId, end),
    close: () => {
      closing.abort();
      for (const subscription of subscriptions) subscription.close();
    },
  };
}

function createContext(options: FleetOptions, signal: AbortSignal): FleetContext {
  const { clock, limits = LIMITS, onDefect } = options;
  const pauseMs = () => announcementPauseMs(fleet.membership.members.length, limits);
  const onFlood = (worker: string, reason: string) => {
    fleet.observer?.event("error", `${reason}.`, { worker });
    if (options.onFlood !== undefined) options.onFlood(worker, reason);
    else onDefect("a worker floods the coordinator", new LoraFleetError("corrupt", reason));
  };
  const fleet: FleetContext = {
    ...{ ...options, limits, signal },
    newStartId: options.newStartId ?? (() => newStartId()),
    newCheckKey: options.newCheckKey ?? (() => crypto.randomUUID()),
    guard: createFloodGuard({ clock, limits, onDefect, onFlood }),
    health: options.health ?? createBrokerHealth(clock),
    quarantines: createQuarantines(options.quarantines ?? createMemoryQuarantineStore()),
    announcement: createPaced({ clock, pauseMs, signal, announce: () => publishFleet(fleet) }),
    look: createPaced({ clock, pauseMs, signal, announce: () => showFleet(fleet) }),
    membership: NO_MEMBERS,
    ...{ runCount: 0, job: null, run: null, closedRun: null, observer: null, hasUnseen: false },
  };
  return fleet;
}

function reinstate({ quarantines, observer, run, membership }: FleetContext, worker: string): void {
  if (!quarantines.lift(worker)) {
    const message = `cannot reinstate ${
      quote(worker)
    }: it is not in quarantine; GET /v1/workers lists the workers that are`;
    throw new LoraFleetError("not_found", message, { param: "id" });
  }
  observer?.event("info", `${worker} is reinstated.`, { worker });
  run?.reinstate(worker);
  run?.fleetChanged(fleetViewOf(membership));
}

async function forget(fleet: FleetContext, jobId: string, end: JobEnd): Promise<void> {
  const { bus, artifacts, closedRun, onDefect } = fleet;
  if (fleet.job?.jobId === jobId) fleet.job = null;
  fleet.announcement.now();
  if (closedRun?.jobId === jobId) closedRun.run.dismiss(end);
  try {
    await bus.deleteQueue(subjects.workQueueName(jobId));
    await bus.deleteStream(subjects.commitLogName(jobId));
    await artifacts.finish(jobId);
  } catch (thrown) {
    onDefect(`the queue, the log or the training states of ${jobId} are left behind`, thrown);
  }
}

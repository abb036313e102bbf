/** Does a fault to a fleet, and says to whom. */
import { systemClock } from "../../shared/clock.ts";
import type { ChaosFleet } from "./chaos_fleet.ts";
import type { PlannedFault } from "./faults.ts";
import { FAIR } from "./proxy.ts";
import type { WorkerChild } from "./worker_child.ts";

/** The kill of an owner leaves at least two: one alone has no one to broadcast to. */
const MIN_WORKERS = 3;

export interface Inflicted {
  readonly at: number;
  /** Null: the coordinator or the broker. */
  readonly worker: WorkerChild | null;
}

/** Resolves once it has happened, which for an owner is not before its next broadcast. */
export async function inflict(fleet: ChaosFleet, { fault, whom }: PlannedFault): Promise<Inflicted> {
  const now = systemClock.now;
  switch (fault.type) {
    case "kill coordinator":
      return { at: await fleet.killCoordinator(fault.standsBy), worker: null };
    case "stop coordinator":
      fleet.stopCoordinatorFor(fault.ms);
      return { at: now(), worker: null };
    case "kill broker":
      await fleet.killBroker();
      return { at: now(), worker: null };
    case "join":
      return { at: now(), worker: fleet.startWorker() };
    case "kill owner":
      // Any owner: a worker with a slow link may own nothing for a long time.
      return await new Promise((resolve) =>
        fleet.atNextAllGather((worker) => {
          worker.kill();
          resolve({ at: now(), worker });
        })
      );
  }
  const present = fleet.present();
  const worker = present[whom % present.length];
  if (worker === undefined) throw new Error(`there is no worker for ${JSON.stringify(fault)}`);
  switch (fault.type) {
    case "kill worker":
      worker.kill();
      break;
    case "leave":
      worker.leave();
      break;
    case "stop worker":
      worker.stopFor(fault.ms);
      break;
    case "cut":
      worker.proxy.cut(fault.ms);
      break;
    case "silence":
      worker.proxy.silence(fault.ms);
      break;
    case "corrupt":
    case "duplicate":
      worker.proxy.weather = { ...worker.proxy.weather, [fault.type]: fault.share };
      setTimeout(
        () => worker.proxy.weather = { ...worker.proxy.weather, [fault.type]: FAIR[fault.type] },
        fault.ms,
      );
      break;
  }
  return { at: now(), worker };
}

/** Starts workers until enough are there. Returns those that it has started. */
export function replenish(fleet: ChaosFleet): WorkerChild[] {
  const started: WorkerChild[] = [];
  while (fleet.workers.filter(({ isThere }) => isThere).length < MIN_WORKERS) {
    started.push(fleet.startWorker());
  }
  return started;
}

/** Fleets in memory in which, together, nearly every message is sent. */
import { LoraFleetError } from "../../shared/errors.ts";
import { commitLogName } from "../../shared/protocol/subjects.ts";
import { createFleetInMemory, type FleetInMemory } from "../sim/fleet_in_memory.ts";
import { type FleetInMemoryOptions, SIM_LIMITS } from "../sim/sim_worker.ts";
import { soak } from "../sim/soak.ts";
import { type Hear, overheard } from "./wire.ts";

const JOB = {
  totalSteps: 5,
  microBatchesPerStep: 6,
  checkpointEvery: 2,
  computeMs: [200, 400],
  seed: 1,
  // Fingerprints wherever nobody is known to need the state.
  limits: { ...SIM_LIMITS, sha256FreeMs: 0, sha256ShareOfStep: 0 },
} as const;

interface Scene {
  readonly change: Partial<FleetInMemoryOptions>;
  readonly disturb: (fleet: FleetInMemory) => Promise<void>;
}

const SCENES: readonly Scene[] = [
  // A worker is lost, one comes late and takes the state from a peer, one drains; some of it is evaluated.
  {
    change: { evaluation: { microBatchCount: 4, every: 2 } },
    async disturb(fleet) {
      await reached(fleet, 1);
      fleet.kill(fleet.workers[0]!);
      fleet.startWorker();
      await reached(fleet, 2);
      fleet.workers[1]!.drain();
    },
  },
  // Audits, a sample that is not finite, a GPU that fails, a coordinator that is lost.
  {
    change: {
      fleet: { audit_rate: 1 },
      engineOf: (worker) => ({
        spoil: (gradient, number) => void (number === 8 && gradient.fill(NaN)),
        fault(call, callNumber) {
          if (worker !== "w-1" || call !== "computeGradient" || callNumber !== 3) return;
          throw new LoraFleetError("gpu_failure", "the device was lost");
        },
      }),
    },
    async disturb(fleet) {
      await reached(fleet, 2);
      fleet.killCoordinator();
      await fleet.clock.advance(500);
      fleet.startCoordinator();
    },
  },
  {
    change: {
      totalSteps: 8,
      microBatchesPerStep: 2,
      fleet: { local_steps: { inner_steps: 4, replicas: 2, outer_learning_rate: 0.7, outer_momentum: 0.9 } },
    },
    disturb: () => Promise.resolve(),
  },
];

/**
 * Plays all scenes.
 * @param hear every message that workers say and hear, and every commit, which is nobody's
 * @param change of what a worker says, such as its version; left out: none
 */
export async function playScenes(
  hear: (...heard: [...Parameters<Hear>, worker: string | null]) => void,
  change: (worker: string, message: unknown) => unknown = (_worker, same) => same,
): Promise<void> {
  for (const { change: ofJob, disturb } of SCENES) {
    const busOf: FleetInMemoryOptions["busOf"] = (worker, bus) =>
      overheard(
        bus,
        (name, message, isOwn) => hear(name, message, isOwn, worker),
        (message) => change(worker, message),
      );
    const fleet = createFleetInMemory({ ...JOB, ...ofJob, busOf });
    try {
      fleet.startCoordinator();
      for (let worker = 0; worker < 3; worker++) fleet.startWorker();
      const log = fleet.broker.connect("reader");
      await disturb(fleet);
      await reached(fleet, fleet.steps.length + 1);
      for (const { data } of await log.readStream(commitLogName("ftjob-sim"))) {
        hear("commitEntrySchema", JSON.parse(new TextDecoder().decode(data)), false, null);
      }
      await fleet.finish(600_000);
    } finally {
      await fleet.close();
    }
  }
}

/** Three workers, and more that come and go, under the faults of some seeds; parameters as of `playScenes`. */
export async function playFaults(
  hear: (...heard: [...Parameters<Hear>, worker: string]) => void,
  change: (worker: string, message: unknown) => unknown,
): Promise<void> {
  for (let seed = 1; seed <= 6; seed++) {
    await soak({
      ...{ ...JOB, seed, totalSteps: 12, checkpointEvery: 5, workerCount: 3 },
      ...{ faultCount: 25, faultsWithinMs: 20_000, withinMs: 900_000 },
      mix: {
        shares: [["kill", 4], ["stall", 2], ["cut", 2], ["join", 8], ["drain", 3], ["killCoordinator", 2]],
        ...{ stallsMs: [1000, 5000], cutsMs: [500, 8000] },
      },
      busOf: (worker, bus) =>
        overheard(
          bus,
          (name, message, isOwn) => hear(name, message, isOwn, worker),
          (message) => change(worker, message),
        ),
    });
  }
}

async function reached(fleet: FleetInMemory, step: number): Promise<void> {
  while (fleet.steps.length < step && !fleet.isDone) await fleet.clock.advance(50);
}

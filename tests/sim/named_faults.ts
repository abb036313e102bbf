/** Faults that a person can name, one at a time, and a fleet to which each is done at any moment; drawn ones are in fault_plan.ts. */
import { assertEquals } from "@std/assert";
import type { FleetInMemory } from "./fleet_in_memory.ts";

export const FAULTS: Readonly<Record<string, (fleet: FleetInMemory) => Promise<void>>> = {
  "a worker is killed": (fleet) => Promise.resolve(fleet.kill(fleet.workers[0]!)),
  "a worker stands still for 1 s": async ({ workers, clock }) => {
    workers[0]!.link.stall();
    await clock.advance(1000);
    workers[0]!.link.resume();
  },
  "a worker stands still for 15 s and comes back": async ({ workers, clock }) => {
    workers[0]!.link.stall();
    await clock.advance(15_000);
    workers[0]!.link.resume();
  },
  "a worker's network is cut for 10 s": async ({ workers, clock }) => {
    workers[0]!.link.isCut = true;
    await clock.advance(10_000);
    workers[0]!.link.isCut = false;
  },
  "a worker joins, another one leaves": async (fleet) => {
    fleet.startWorker();
    await fleet.clock.advance(300);
    // Killed at the end with the others; it has left long before.
    fleet.workers[0]!.agent.drain();
  },
  "the coordinator is killed and starts again": async (fleet) => {
    fleet.killCoordinator();
    await fleet.clock.advance(700);
    fleet.startCoordinator();
  },
  "the job is paused and resumed": async (fleet) => {
    fleet.pauseJob();
    await fleet.clock.advance(700);
    fleet.resumeJob();
  },
  "all workers are killed, and others come": async (fleet) => {
    for (const worker of fleet.workers) fleet.kill(worker);
    await fleet.clock.advance(3000);
    fleet.startWorker();
  },
  "everything is killed": async (fleet) => {
    for (const worker of fleet.workers) fleet.kill(worker);
    fleet.killCoordinator();
    await fleet.clock.advance(3000);
    fleet.startCoordinator();
    fleet.startWorker();
  },
};

/** The newest report of each step, since a step may be done again after the loss of all state. */
export function digestsOf({ steps }: Pick<FleetInMemory, "steps">): string[] {
  return [...new Map(steps.map(({ step, digest }) => [step, digest])).values()];
}

/**
 * One test for each of them: three workers, the fault after so many milliseconds, and every digest that of an undisturbed run.
 * @param inFleet runs `work` with a fleet of this seed, and closes it
 */
export function testNamedFaults(
  what: string,
  moments: readonly number[],
  expected: readonly string[],
  inFleet: (
    work: (fleet: FleetInMemory) => Promise<void>,
    change: { readonly seed: number },
  ) => Promise<void>,
): void {
  for (const [name, fault] of Object.entries(FAULTS)) {
    Deno.test(`${name}, at any moment: the same ${what}`, async () => {
      for (const atMs of moments) {
        await inFleet(async (fleet) => {
          fleet.startCoordinator();
          for (let index = 0; index < 3; index++) fleet.startWorker();
          await fleet.clock.advance(atMs);
          await fault(fleet);
          await fleet.finish(300_000);
          assertEquals(digestsOf(fleet), expected, `at ${atMs} ms`);
        }, { seed: atMs });
      }
    });
  }
}

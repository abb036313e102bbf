/** The ways between two releases: forward, a newer worker too early, both in one fleet, and back. */
import { LoraFleetError } from "../../shared/errors.ts";
import type { DemoFleet } from "./fleet.ts";
import type { Release } from "./release.ts";
import { say, type Trial, withFleet } from "./trial.ts";

/** What a job ends with. */
export interface Adapters {
  /** Of the job in whose middle everything was replaced. */
  readonly upgraded: string;
  /** Of a job that workers of both releases trained from its beginning; null where the newer coordinator does not serve the older ones. */
  readonly mixed: string | null;
}

const serves = (before: Release, after: Release) => before.protocol.newest >= after.protocol.oldest;

/** Coordinator and two workers of `before` train a job, and are replaced one after the other. */
export function trainThroughUpgrade(before: Release, after: Release, trial: Trial): Promise<Adapters> {
  return withFleet("upgrade", trial, async (fleet) => {
    await fleet.startCoordinator(before);
    for (let worker = 0; worker < 2; worker++) await fleet.startWorker(before);
    const id = await fleet.submit();
    await fleet.reached(id, Math.ceil(trial.steps / 8));
    await tryTooEarly(fleet, before, after);
    await replaceCoordinator(fleet, id, before, after, trial.steps);
    await replaceWorkers(fleet, id, after, serves(before, after));
    if (await fleet.step(id) >= trial.steps) {
      throw new LoraFleetError("aborted", "the job was over before all was replaced: more --steps");
    }
    const upgraded = await fleet.adapter(id);
    say(`upgraded in the middle: adapter_sha256 ${upgraded}`);
    return { upgraded, mixed: serves(before, after) ? await trainMixed(fleet, before, after) : null };
  });
}

/** A worker of `after` while the coordinator is still `before`. */
async function tryTooEarly(fleet: DemoFleet, before: Release, after: Release): Promise<void> {
  if (after.protocol.newest <= before.protocol.newest) {
    return say(
      `a worker of ${after.name} may join ${before.name}: both speak protocol ${after.protocol.newest}`,
    );
  }
  const { code, last } = await fleet.refusedWorker(after);
  if (code !== 1 || !last.includes("update the coordinator")) {
    throw new LoraFleetError("aborted", `a worker that is ahead ended with ${code}: ${last}`);
  }
  say(
    `a worker of ${after.name} at the coordinator of ${before.name} ends with exit code 1:\n          ${last}`,
  );
}

async function replaceCoordinator(
  fleet: DemoFleet,
  id: string,
  before: Release,
  after: Release,
  steps: number,
): Promise<void> {
  say(`step ${await fleet.step(id)}: the coordinator of ${before.name} is asked to end`);
  await fleet.stopCoordinator();
  if (!serves(before, after)) {
    for (let worker = 0; worker < 2; worker++) await fleet.drainWorker();
    say(`its workers have drained: ${after.name} does not serve protocol ${before.protocol.newest}`);
  }
  await fleet.startCoordinator(after);
  const step = await fleet.step(id);
  say(`${after.name} leads on the same folder, at step ${step}`);
  if (!serves(before, after)) return;
  await fleet.reached(id, step + Math.ceil(steps / 8));
  say(`step ${await fleet.step(id)}: it has trained with two workers of ${before.name}`);
}

async function replaceWorkers(
  fleet: DemoFleet,
  id: string,
  after: Release,
  isServed: boolean,
): Promise<void> {
  for (let worker = 0; worker < 2; worker++) {
    await fleet.startWorker(after);
    // It takes part before the other one, which may be the last with the job's state, leaves.
    await fleet.reached(id, await fleet.step(id) + 2);
    if (isServed) await fleet.drainWorker();
    const what = isServed ? "has replaced one that drained" : "has joined";
    say(`step ${await fleet.step(id)}: a worker of ${after.name} ${what}`);
  }
}

/** A job of its own after the upgrade, on a worker of each release. */
async function trainMixed(fleet: DemoFleet, before: Release, after: Release): Promise<string> {
  await fleet.drainWorker();
  await fleet.startWorker(before);
  const sha256 = await fleet.adapter(await fleet.submit());
  say(`a new job on a worker of ${after.name} and one of ${before.name}: adapter_sha256 ${sha256}`);
  return sha256;
}

/**
 * Coordinator and workers of `after` train a job; workers of `before` take the place of theirs, and then the coordinator that of the
 * newer one, in the same folder.
 */
export function trainBack(before: Release, after: Release, trial: Trial): Promise<string> {
  return withFleet("back", trial, async (fleet) => {
    await fleet.startCoordinator(after);
    for (let worker = 0; worker < 2; worker++) await fleet.startWorker(after);
    const id = await fleet.submit();
    await fleet.reached(id, Math.ceil(trial.steps / 4));
    say(`back: step ${await fleet.step(id)} with ${after.name} alone`);
    for (let worker = 0; worker < 2; worker++) {
      await fleet.startWorker(before);
      await fleet.reached(id, await fleet.step(id) + 2);
      await fleet.drainWorker();
      say(`step ${await fleet.step(id)}: a worker of ${before.name} has replaced one that drained`);
    }
    await fleet.stopCoordinator();
    await fleet.startCoordinator(before);
    const step = await fleet.step(id);
    say(`${before.name} leads on the same folder, at step ${step}`);
    if (step >= trial.steps) {
      throw new LoraFleetError("aborted", "the job was over before all was brought back: more --steps");
    }
    const sha256 = await fleet.adapter(id);
    say(`brought back in the middle: adapter_sha256 ${sha256}`);
    return sha256;
  });
}

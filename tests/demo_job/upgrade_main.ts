/**
 * An upgrade while a job runs: coordinator and two workers of an earlier revision train the demo's job; the coordinator is replaced
 * by the present one on the same folder, then one worker after the other drains and is replaced. The adapter has to be the one that
 * each of the two releases makes alone.
 *
 *     deno task test:upgrade [--from <revision>]   a tag or a commit (the last release of docs/releases.md)
 *       [--steps 150] [--ignore-gpu] [--logs <folder>]
 *
 * Workers whose protocol the present coordinator does not serve drain before it starts. Exit codes: 0 the same adapter, 1 not,
 * 2 usage.
 */
import { parseArgs } from "node:util";
import { join } from "@std/path";
import { repositoryRoot } from "../../deploy/machine/fleet.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { exitWithHelp } from "../documents/head_help.ts";
import { checkOut, type Release, releaseAt } from "./release.ts";
import { prepareTrial, say, trainAlone, type Trial, withFleet } from "./trial.ts";

exitWithHelp(import.meta.url);

/** The adapter of a job in whose middle everything is replaced. */
function trainThroughUpgrade(before: Release, after: Release, trial: Trial): Promise<string> {
  const isServed = before.protocol.newest >= after.protocol.oldest;
  return withFleet("upgrade", trial, async (fleet) => {
    await fleet.startCoordinator(before);
    for (let worker = 0; worker < 2; worker++) await fleet.startWorker(before);
    const id = await fleet.submit();
    await fleet.reached(id, Math.ceil(trial.steps / 4));
    say(`step ${await fleet.step(id)}: the coordinator of ${before.name} is asked to end`);
    await fleet.stopCoordinator();
    if (!isServed) {
      for (let worker = 0; worker < 2; worker++) await fleet.drainWorker();
      say(`its workers have drained: ${after.name} does not serve protocol ${before.protocol.newest}`);
    }
    await fleet.startCoordinator(after);
    const step = await fleet.step(id);
    say(`${after.name} leads on the same folder, at step ${step}`);
    if (isServed) {
      await fleet.reached(id, step + Math.ceil(trial.steps / 8));
      say(`step ${await fleet.step(id)}: it has trained with two workers of ${before.name}`);
    }
    for (let worker = 0; worker < 2; worker++) {
      await fleet.startWorker(after);
      // It takes part before the other one, which may be the last with the job's state, leaves.
      await fleet.reached(id, await fleet.step(id) + 2);
      if (isServed) await fleet.drainWorker();
      const what = isServed ? "has replaced one that drained" : "has joined";
      say(`step ${await fleet.step(id)}: a worker of ${after.name} ${what}`);
    }
    const replacedAt = await fleet.step(id);
    const sha256 = await fleet.adapter(id);
    if (replacedAt >= trial.steps) {
      throw new LoraFleetError("aborted", "the job was over before all was replaced: more --steps");
    }
    say(`upgraded in the middle: adapter_sha256 ${sha256}`);
    return sha256;
  });
}

async function main(
  from: string | null,
  steps: number,
  ignoreGpu: boolean,
  logs: string | null,
): Promise<boolean> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-upgrade-" });
  try {
    const before = await checkOut(from, folder);
    const after = await releaseAt(repositoryRoot, "the present one");
    const served = ({ oldest, newest }: Release["protocol"]) =>
      oldest === newest ? `${newest}` : `${oldest} to ${newest}`;
    say(
      `from ${before.name} (protocol ${served(before.protocol)}) to ${after.name} (${
        served(after.protocol)
      })`,
    );
    const trial = await prepareTrial(folder, steps, ignoreGpu);
    const upgraded = await trainThroughUpgrade(before, after, trial);
    const alone = [await trainAlone("before", before, trial), await trainAlone("after", after, trial)];
    if (alone[0] !== alone[1]) {
      say(
        "the two releases compute differently, each by itself: a job that is upgraded in the middle has neither adapter",
      );
      return false;
    }
    say(upgraded === alone[0] ? "the same adapter three times" : "the upgraded job has a different adapter");
    return upgraded === alone[0];
  } finally {
    if (logs !== null) await keepLogs(folder, logs);
    await Deno.remove(folder, { recursive: true });
  }
}

async function keepLogs(folder: string, target: string): Promise<void> {
  for (const part of ["upgrade", "before", "after"]) {
    const names = await Array.fromAsync(Deno.readDir(join(folder, part)), ({ name }) => name).catch(() => []);
    for (const name of names.filter((name) => name.endsWith(".log"))) {
      await Deno.mkdir(target, { recursive: true });
      await Deno.copyFile(join(folder, part, name), join(target, `${part}-${name}`));
    }
  }
}

try {
  const { values } = parseArgs({
    options: {
      ...{ from: { type: "string" }, steps: { type: "string", default: "150" } },
      ...{ "ignore-gpu": { type: "boolean", default: false }, logs: { type: "string" } },
    },
  });
  const steps = Number(values.steps);
  if (!Number.isInteger(steps) || steps < 8) {
    throw new LoraFleetError("usage", `--steps is "${values.steps}"; a whole number from 8 is needed`);
  }
  Deno.exit(await main(values.from ?? null, steps, values["ignore-gpu"], values.logs ?? null) ? 0 : 1);
} catch (thrown) {
  console.error(`test:upgrade: ${messageOf(thrown)}`);
  const isUsage = (thrown instanceof LoraFleetError && thrown.code === "usage") ||
    thrown instanceof TypeError;
  Deno.exit(isUsage ? 2 : 1);
}

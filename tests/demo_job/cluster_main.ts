/**
 * The demo's job, its model on real workers, on a cluster of three nats-servers with a leaf node: one worker at the cluster, one
 * behind the leaf node, and each server is killed once and started again. The adapter has to be that of the same job on the
 * coordinator's own broker.
 *
 *     deno task test:cluster-gpu [--steps 40] [--ignore-gpu]
 *
 * Exit codes: 0 the same adapter, 1 not, 2 usage.
 */
import { parseArgs } from "node:util";
import { join } from "@std/path";
import { repositoryRoot } from "../../deploy/machine/fleet.ts";
import { systemClock } from "../../shared/clock.ts";
import { exitWithHelp } from "../documents/head_help.ts";
import { startTestNatsCluster } from "../integration/nats_cluster.ts";
import { type Release, releaseAt } from "./release.ts";
import { prepareTrial, say, trainAlone, type Trial, withFleet } from "./trial.ts";

exitWithHelp(import.meta.url);

const SERVERS = [0, 1, 2];

async function trainOnCluster(release: Release, trial: Trial): Promise<string> {
  const folder = join(trial.folder, "nats");
  await Deno.mkdir(folder);
  await using cluster = await startTestNatsCluster(folder);
  return await withFleet("cluster", trial, async (fleet) => {
    await fleet.startCoordinator(release, cluster.environment);
    await fleet.startWorker(release);
    await fleet.startWorker(release, ["--nats-url", cluster.leafUrl]);
    const id = await fleet.submit();
    for (const index of SERVERS) {
      await fleet.reached(id, Math.max(1, Math.round(trial.steps * (index + 0.5) / (SERVERS.length + 0.5))));
      const step = await fleet.step(id);
      await cluster.kill(index);
      const killedAt = systemClock.now();
      await fleet.reached(id, step + 2);
      const seconds = ((systemClock.now() - killedAt) / 1000).toFixed(1);
      say(`step ${step}: server ${index + 1} of 3 is killed; two steps later after ${seconds} s`);
      await cluster.start(index);
    }
    say(`step ${await fleet.step(id)}: all three are back`);
    const sha256 = await fleet.adapter(id);
    say(`on the cluster: adapter_sha256 ${sha256}`);
    return sha256;
  });
}

async function main(steps: number, ignoreGpu: boolean): Promise<boolean> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-cluster-" });
  try {
    const release = await releaseAt(repositoryRoot, "one broker");
    const trial = await prepareTrial(folder, steps, ignoreGpu);
    const isSame = await trainOnCluster(release, trial) === await trainAlone("alone", release, trial);
    say(isSame ? "the same adapter" : "different adapters");
    return isSame;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const { values } = parseArgs({
  options: {
    ...{ steps: { type: "string", default: "40" }, "ignore-gpu": { type: "boolean", default: false } },
  },
});
const steps = Number(values.steps);
if (!Number.isInteger(steps) || steps < 12) {
  console.error(`test:cluster-gpu: --steps is "${values.steps}"; a whole number from 12 is needed`);
  Deno.exit(2);
}
Deno.exit(await main(steps, values["ignore-gpu"]) ? 0 : 1);

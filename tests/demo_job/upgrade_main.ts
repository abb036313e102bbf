/**
 * An upgrade while a job runs: coordinator and two workers of an earlier release train the demo's job. A present worker comes too
 * early; the coordinator is replaced by the present one on the same folder, then one worker after the other; a second job trains on
 * a worker of each. Every adapter has to be the one that each of the two releases makes alone.
 *
 *     deno task test:upgrade [--from <revision>]   a tag or a commit (the last release of docs/releases.md)
 *       [--back]              also the way back: the earlier release goes on with a job of the present one
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
import { prepareTrial, say, trainAlone } from "./trial.ts";
import { trainBack, trainThroughUpgrade } from "./upgrade.ts";

exitWithHelp(import.meta.url);

interface Options {
  /** Null: the last release. */
  readonly from: string | null;
  readonly isBack: boolean;
  readonly steps: number;
  readonly ignoreGpu: boolean;
  /** Where the programs' output is kept; null: nowhere. */
  readonly logs: string | null;
}

async function main({ from, isBack, steps, ignoreGpu, logs }: Options): Promise<boolean> {
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
    const { upgraded, mixed } = await trainThroughUpgrade(before, after, trial);
    const back = isBack ? await trainBack(before, after, trial) : null;
    const alone = [await trainAlone("before", before, trial), await trainAlone("after", after, trial)];
    if (alone[0] !== alone[1]) {
      say(
        "the two releases compute differently, each by itself: a job that is upgraded in the middle has neither adapter",
      );
      return false;
    }
    const all = { upgraded, mixed, "brought back": back };
    const others = Object.entries(all).filter(([, sha256]) => sha256 !== null && sha256 !== alone[0]);
    const count = alone.length + Object.values(all).filter((sha256) => sha256 !== null).length;
    say(
      others.length === 0
        ? `the same adapter ${count} times`
        : `a different adapter: ${others.map(([name]) => name).join(", ")}`,
    );
    return others.length === 0;
  } finally {
    if (logs !== null) await keepLogs(folder, logs);
    await Deno.remove(folder, { recursive: true });
  }
}

async function keepLogs(folder: string, target: string): Promise<void> {
  for (const part of ["upgrade", "back", "before", "after"]) {
    const names = await Array.fromAsync(Deno.readDir(join(folder, part)), ({ name }) => name).catch(() => []);
    for (const name of names.filter((name) => name.endsWith(".log"))) {
      await Deno.mkdir(target, { recursive: true });
      await Deno.copyFile(join(folder, part, name), join(target, `${part}-${name}`));
    }
  }
}

function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{ from: { type: "string" }, steps: { type: "string", default: "150" } },
      ...{ "ignore-gpu": { type: "boolean", default: false }, back: { type: "boolean", default: false } },
      logs: { type: "string" },
    },
  });
  const steps = Number(values.steps);
  if (!Number.isInteger(steps) || steps < 8) {
    throw new LoraFleetError("usage", `--steps is "${values.steps}"; a whole number from 8 is needed`);
  }
  const { from = null, logs = null, back } = values;
  return { from, isBack: back, steps, ignoreGpu: values["ignore-gpu"], logs };
}

try {
  Deno.exit(await main(optionsOf(Deno.args)) ? 0 : 1);
} catch (thrown) {
  console.error(`test:upgrade: ${messageOf(thrown)}`);
  const isUsage = (thrown instanceof LoraFleetError && thrown.code === "usage") ||
    thrown instanceof TypeError;
  Deno.exit(isUsage ? 2 : 1);
}

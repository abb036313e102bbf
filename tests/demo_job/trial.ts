/** What every trial of the demo's job needs: a folder, an environment, lines with the time. */
import { join } from "@std/path";
import { parseOptions } from "../../deploy/demo/options.ts";
import { childEnvironment } from "../../deploy/machine/environment.ts";
import { ensureSetup } from "../../deploy/setup/ensure.ts";
import { runtimeFolderVariables } from "../../deploy/setup/runtime_folder.ts";
import { systemClock } from "../../shared/clock.ts";
import { freePort } from "../integration/coordinator_child.ts";
import { DemoFleet } from "./fleet.ts";
import type { Release } from "./release.ts";

export interface Trial {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly steps: number;
  readonly ignoreGpu: boolean;
}

const startedAt = systemClock.now();

export function say(line: string): void {
  console.log(`${((systemClock.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`);
}

/** Installs what is missing. */
export async function prepareTrial(folder: string, steps: number, ignoreGpu: boolean): Promise<Trial> {
  const { natsServerPath, gpuName } = await ensureSetup({ log: say, ignoreGpu });
  say(`deno ${Deno.version.deno}, ${natsServerPath}; GPU: ${gpuName}; ${steps} steps`);
  const env = {
    ...childEnvironment(Deno.env.toObject(), natsServerPath),
    ...await runtimeFolderVariables(Deno.env.get("XDG_RUNTIME_DIR"), join(folder, "runtime")),
  };
  return { folder, env, steps, ignoreGpu };
}

/** Its processes have ended when this resolves. @param name of its folder */
export async function withFleet<T>(
  name: string,
  { folder, env, steps, ignoreGpu }: Trial,
  body: (fleet: DemoFleet) => Promise<T>,
): Promise<T> {
  const own = join(folder, name);
  await Deno.mkdir(own);
  const options = parseOptions(["--steps", String(steps), ...(ignoreGpu ? ["--ignore-gpu"] : [])])!;
  const fleet = new DemoFleet(own, env, options, freePort());
  try {
    return await body(fleet);
  } finally {
    await fleet.close();
  }
}

/** The adapter of a release that nothing disturbs, on two workers and its own broker. */
export function trainAlone(name: string, release: Release, trial: Trial): Promise<string> {
  return withFleet(name, trial, async (fleet) => {
    await fleet.startCoordinator(release);
    for (let worker = 0; worker < 2; worker++) await fleet.startWorker(release);
    const sha256 = await fleet.adapter(await fleet.submit());
    say(`${release.name} alone: adapter_sha256 ${sha256}`);
    return sha256;
  });
}

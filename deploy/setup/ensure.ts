/** Set-up as a function, for `deno task setup` and the tasks that include it. */
import { LoraFleetError } from "../../shared/errors.ts";
import { findGpuHardware, type GpuHardware, refuseIdleGpu } from "../../shared/gpu_hardware.ts";
import { aptInstall, haveAptLists, rootPrefix, runCommand } from "./apt.ts";
import { findNatsServer, type ProbedGpu, probeGpu } from "./checks.ts";
import {
  describePlatform,
  manualCommands,
  packagesFor,
  type Platform,
  type Requirement,
} from "./platform.ts";

interface SetupResult {
  readonly natsServerPath: string;
  /** The name of the GPU that WebGPU returns, possibly a software one. */
  readonly gpuName: string;
}

/** The machine as set-up sees and changes it; tests replace it. */
export interface Machine {
  readonly platform: Platform;
  look(): Promise<{ natsServerPath: string | null; gpu: ProbedGpu | null }>;
  /** The machine's GPUs, whether WebGPU can use them or not. */
  hardware(): readonly GpuHardware[];
  environment(name: string): string | undefined;
  /** Installs packages with apt; false if that needs a password. */
  aptInstall(packages: readonly string[], announce: () => void): Promise<boolean>;
}

interface SetupOptions {
  /** Receives one line per action; none if nothing is missing. */
  readonly log: (line: string) => void;
  /** Accept the CPU's driver although the machine has a GPU. */
  readonly ignoreGpu: boolean;
}

/**
 * Makes sure that nats-server and a GPU driver are installed, with apt if it can run without a password. Throws
 * `missing_dependency`, whose message ends with the commands to type; `no_gpu` if the driver of the machine's GPU is missing.
 */
export async function ensureSetup(
  { log, ignoreGpu }: SetupOptions,
  machine: Machine = thisMachine(),
): Promise<SetupResult> {
  const { platform } = machine;
  let { natsServerPath, gpu } = await machine.look();
  const missing = () => {
    const requirements: Requirement[] = [];
    if (natsServerPath === null) requirements.push("nats-server");
    if (gpu === null) requirements.push("vulkan");
    return requirements;
  };
  if (missing().length > 0 && platform.packageManager === "apt") {
    const packages = packagesFor("apt", missing());
    const announce = () => log(`set-up: installing ${packages.join(", ")} with apt`);
    if (await machine.aptInstall(packages, announce)) ({ natsServerPath, gpu } = await machine.look());
  }
  if (!ignoreGpu && gpu?.isCpu !== false) {
    refuseIdleGpu(gpu?.name ?? null, machine.hardware(), (name) => machine.environment(name));
  }
  if (natsServerPath !== null && gpu !== null) return { natsServerPath, gpuName: gpu.name };
  throw new LoraFleetError("missing_dependency", missingMessage(platform, missing()));
}

function thisMachine(): Machine {
  return {
    platform: describePlatform(Deno.build.os, readTextOrEmpty("/etc/os-release")),
    async look() {
      const natsServerPath = findNatsServer(Deno.env.get("PATH") ?? "");
      return { natsServerPath, gpu: await probeGpu() };
    },
    hardware: () => findGpuHardware(),
    environment: (name) => Deno.env.get(name),
    async aptInstall(packages, announce) {
      const prefix = await rootPrefix(Deno.uid(), runCommand);
      if (prefix === null) return false;
      announce();
      // If apt fails, the second look shows what is still missing.
      await aptInstall(packages, prefix, haveAptLists(), runCommand);
      return true;
    },
  };
}

/** What is missing, and the commands to type. */
function missingMessage(platform: Platform, missing: readonly Requirement[]): string {
  const what = missing.map((requirement) =>
    requirement === "nats-server" ? "nats-server is not installed" : "WebGPU finds no GPU driver"
  );
  const commands = manualCommands(platform, missing).map((command) => `  ${command}`).join("\n");
  return `${what.join(" and ")}. On ${platform.name}:\n${commands}`;
}

function readTextOrEmpty(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/** Set-up as a function, for `deno task setup` and for the tasks that begin with it. */
import { LoraFleetError } from "../../shared/errors.ts";
import { aptInstall, haveAptLists, rootPrefix, runCommand } from "./apt.ts";
import { findNatsServer, probeGpu } from "./checks.ts";
import { describePlatform, manualCommands, packagesFor, type Requirement } from "./platform.ts";

export interface SetupResult {
  readonly natsServerPath: string;
  /** The name of the GPU that WebGPU gives, software ones included. */
  readonly gpuName: string;
}

/**
 * Makes sure that nats-server and a GPU driver are there, installing them by apt where that needs no questions.
 * @param log receives one line for each thing that is done; nothing where all is there
 * @throws LoraFleetError `missing_dependency`, whose message ends with the commands to type
 */
export async function ensureSetup(log: (line: string) => void): Promise<SetupResult> {
  const look = async () => {
    const natsServerPath = findNatsServer(Deno.env.get("PATH") ?? "");
    const gpuName = await probeGpu();
    return { natsServerPath, gpuName };
  };
  let { natsServerPath, gpuName } = await look();
  if (natsServerPath !== null && gpuName !== null) return { natsServerPath, gpuName };

  const platform = describePlatform(Deno.build.os, readTextOrEmpty("/etc/os-release"));
  const missing: Requirement[] = [];
  if (natsServerPath === null) missing.push("nats-server");
  if (gpuName === null) missing.push("vulkan");
  if (platform.packageManager === "apt") {
    const prefix = await rootPrefix(Deno.uid(), runCommand);
    if (prefix !== null) {
      const packages = packagesFor("apt", missing);
      log(`set-up: installing ${packages.join(", ")} with apt`);
      await aptInstall(packages, prefix, haveAptLists(), runCommand);
      ({ natsServerPath, gpuName } = await look());
      if (natsServerPath !== null && gpuName !== null) return { natsServerPath, gpuName };
    }
  }
  const stillMissing = missing.filter((requirement) =>
    requirement === "nats-server" ? natsServerPath === null : gpuName === null
  );
  throw new LoraFleetError(
    "missing_dependency",
    missingMessage(platform.name, stillMissing, manualCommands(platform, stillMissing)),
  );
}

/** The whole message for a person: what is missing, and the lines to type. */
export function missingMessage(
  platformName: string,
  missing: readonly Requirement[],
  commands: readonly string[],
): string {
  const what = missing.map((requirement) =>
    requirement === "nats-server" ? "nats-server is not installed" : "WebGPU finds no GPU driver"
  );
  return `${what.join(" and ")}. On ${platformName}:\n${
    commands.map((command) => `  ${command}`).join("\n")
  }`;
}

function readTextOrEmpty(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

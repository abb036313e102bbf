/** What the doctor looks at: the machine and the network as they are, replaced in tests. */
import type { GpuHardware } from "../../shared/gpu_hardware.ts";
import { findGpuHardware } from "../../shared/gpu_hardware.ts";
import { freeBytes } from "../../shared/hub/free_space.ts";
import { systemClock } from "../../shared/clock.ts";
import { findNatsServer, type ProbedGpu, probeGpu } from "../setup/checks.ts";
import { describePlatform, type Platform } from "../setup/platform.ts";

export interface World {
  readonly platform: Platform;
  readonly architecture: string;
  readonly denoVersion: string;
  readonly cores: number;
  /** Of the machine, in bytes. */
  readonly memory: { readonly total: number; readonly available: number };
  now(): number;
  env(name: string): string | null;
  /** Names of all variables that are set. */
  readonly variables: readonly string[];
  hardware(): readonly GpuHardware[];
  gpu(): Promise<ProbedGpu | null>;
  /** The first one on the PATH or where packages put it. */
  natsServer(): string | null;
  /** Standard output of `<program> --version`; null if it does not run. */
  version(program: string): Promise<string | null>;
  /** Free bytes where the folder is or will be. */
  free(folder: string): Promise<number | null>;
  /** Whether a server may listen at this port of every address. */
  isFree(port: number): boolean;
  fetch(url: string, init?: RequestInit): Promise<Response>;
}

export function thisWorld(): World {
  const { total, available } = Deno.systemMemoryInfo();
  return {
    platform: describePlatform(Deno.build.os, textOf("/etc/os-release")),
    architecture: Deno.build.arch,
    denoVersion: Deno.version.deno,
    cores: navigator.hardwareConcurrency,
    memory: { total, available },
    now: () => systemClock.now(),
    env: (name) => Deno.env.get(name) || null,
    variables: Object.keys(Deno.env.toObject()),
    hardware: () => findGpuHardware(),
    gpu: () => probeGpu(),
    natsServer: () => Deno.env.get("LORAFLEET_NATS_SERVER") || findNatsServer(Deno.env.get("PATH") ?? ""),
    version: versionOf,
    free: freeBytes,
    isFree: canListen,
    fetch: (url, init) => fetch(url, { ...init, signal: AbortSignal.timeout(10_000) }),
  };
}

async function versionOf(program: string): Promise<string | null> {
  try {
    const { stdout, success } = await new Deno.Command(program, { args: ["--version"], stdin: "null" })
      .output();
    return success ? new TextDecoder().decode(stdout).trim() : null;
  } catch {
    return null;
  }
}

function canListen(port: number): boolean {
  try {
    Deno.listen({ port, hostname: "0.0.0.0" }).close();
    return true;
  } catch {
    return false;
  }
}

function textOf(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

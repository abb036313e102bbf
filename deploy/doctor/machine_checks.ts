/** This release and its machine: runtime, memory, disk, and variables that no program knows. */
import { join } from "@std/path";
import { versionLine } from "../../shared/protocol/release.ts";
import { nearestName } from "../../shared/std/nearest_name.ts";
import { type Finding, note, ok, problem } from "./finding.ts";
import type { World } from "./world.ts";

/** What the tests run on. */
const TESTED_DENO = "2.9.6";
const GIB = 2 ** 30;

export function checkRelease(): Finding {
  return ok("lorafleet", versionLine().replace("lorafleet ", ""));
}

export function checkRuntime({ denoVersion, platform, architecture, cores }: World): Finding {
  const found = `Deno ${denoVersion} on ${platform.name}, ${architecture}, ${cores} CPU cores`;
  const order = compareVersions(denoVersion, TESTED_DENO);
  if (order === 0) return ok("runtime", found);
  return order < 0
    ? problem("runtime", found, `lorafleet needs Deno ${TESTED_DENO} or newer: deno upgrade`)
    : note("runtime", `${found}; the tests run on ${TESTED_DENO}`);
}

/** A coordinator prepares a gigabyte of rows within 1.5 GiB; a worker holds optimizer state and one shard of the model. */
export function checkMemory({ memory: { total, available } }: World): Finding {
  const found = `${gib(available)} of ${gib(total)} available`;
  return available < 2 * GIB
    ? problem("memory", found, "a coordinator or a worker needs 2 GiB and more: close other programs")
    : ok("memory", found);
}

export async function checkDisks(world: World): Promise<readonly Finding[]> {
  const cache = world.env("LORAFLEET_CACHE_FOLDER") ??
    join(world.env("XDG_CACHE_HOME") ?? join(world.env("HOME") ?? ".", ".cache"), "lorafleet");
  const folders = [["data folder", world.env("LORAFLEET_DATA_FOLDER") ?? "data"], ["cache", cache]] as const;
  return await Promise.all(folders.map(async ([name, folder]) => {
    const free = await world.free(folder);
    if (free === null) return note(name, `${folder}: the system does not tell its free space`);
    const found = `${folder}: ${gib(free)} free`;
    if (free >= 5 * GIB) return ok(name, found);
    return problem(
      name,
      found,
      "base models and checkpoints need gigabytes: make room, or name another folder",
    );
  }));
}

/** Programs read `LORAFLEET_…` alone, so a name that none of them knows is a slip. `known`: all that they read. */
export function checkVariables({ variables }: World, known: readonly string[]): readonly Finding[] {
  const ours = variables.filter((name) => name.startsWith("LORAFLEET_")).toSorted();
  const unknown = ours.filter((name) => !known.includes(name));
  const findings = unknown.map((name) => {
    const nearest = nearestName(name, known);
    const advice = nearest === null ? "no program reads it: unset it" : `did you mean ${nearest}?`;
    return problem("variables", `${name} is set`, advice);
  });
  const good = ours.filter((name) => known.includes(name));
  return [...findings, ok("variables", good.length === 0 ? "no LORAFLEET_… is set" : good.join(", "))];
}

/** Below 0 if `a` is older. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split(/[.-]/).map((part) => Number.parseInt(part) || 0));
  for (let i = 0; i < 3; i++) {
    const difference = (left![i] ?? 0) - (right![i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function gib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}

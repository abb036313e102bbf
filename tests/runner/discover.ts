/** Which test files there are, and in which group each of them runs. */
import { join } from "@std/path";
import { LoraFleetError, quote } from "../../shared/errors.ts";

export type GroupName = "unit" | "gpu" | "integration";

export const groupNames: readonly GroupName[] = ["unit", "gpu", "integration"];

/** Outputs and caches, which hold no tests of ours: by their paths, so that a room such as shared/data keeps its tests. */
const skippedFolders = new Set(["node_modules", "data", "demo-out"]);

/** The group of a test file by its path from the repository's root, with `/`; null for a file that is no test. */
export function groupOf(path: string): GroupName | null {
  if (!path.endsWith("_test.ts")) return null;
  if (path.endsWith("_gpu_test.ts")) return "gpu";
  return path.startsWith("tests/integration/") ? "integration" : "unit";
}

/**
 * The test files that are named, or lie in a folder that is named; all of them where nothing is.
 * @throws LoraFleetError `usage` for a name that no test file has
 */
export function selectTests(
  found: Readonly<Record<GroupName, readonly string[]>>,
  names: readonly string[],
): Record<GroupName, readonly string[]> {
  if (names.length === 0) return { ...found };
  const wanted = names.map((name) => name.replace(/^\.\//, "").replace(/\/+$/, ""));
  const isWanted = (file: string) => wanted.some((name) => file === name || file.startsWith(`${name}/`));
  const unknown = wanted.find((name) =>
    !Object.values(found).flat().some((file) => file === name || file.startsWith(`${name}/`))
  );
  if (unknown !== undefined) {
    throw new LoraFleetError(
      "usage",
      `no test file is named ${
        quote(unknown)
      } or lies in such a folder; paths begin at the repository's root`,
    );
  }
  return {
    unit: found.unit.filter(isWanted),
    gpu: found.gpu.filter(isWanted),
    integration: found.integration.filter(isWanted),
  };
}

/** All test files under `root`, by group, sorted. Paths are relative to `root`. */
export function discoverTests(root: string): Record<GroupName, string[]> {
  const found: Record<GroupName, string[]> = { unit: [], gpu: [], integration: [] };
  const walk = (relative: string) => {
    for (const entry of Deno.readDirSync(join(root, relative))) {
      const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory) {
        if (!entry.name.startsWith(".") && !skippedFolders.has(path)) walk(path);
      } else {
        const group = groupOf(path);
        if (group !== null) found[group].push(path);
      }
    }
  };
  walk("");
  for (const group of groupNames) found[group].sort();
  return found;
}

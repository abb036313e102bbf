/** Which test files there are, and in which group each of them runs. */
import { join } from "@std/path";

export type GroupName = "unit" | "gpu" | "integration";

export const groupNames: readonly GroupName[] = ["unit", "gpu", "integration"];

/** Folders that hold no tests of ours: outputs and caches. */
const skippedFolders = new Set(["node_modules", "data", "demo-out"]);

/** The group of a test file by its path from the repository's root, with `/`; null for a file that is no test. */
export function groupOf(path: string): GroupName | null {
  if (!path.endsWith("_test.ts")) return null;
  if (path.endsWith("_gpu_test.ts")) return "gpu";
  return path.startsWith("tests/integration/") ? "integration" : "unit";
}

/** All test files under `root`, by group, sorted. Paths are relative to `root`. */
export function discoverTests(root: string): Record<GroupName, string[]> {
  const found: Record<GroupName, string[]> = { unit: [], gpu: [], integration: [] };
  const walk = (relative: string) => {
    for (const entry of Deno.readDirSync(join(root, relative))) {
      const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory) {
        if (!entry.name.startsWith(".") && !skippedFolders.has(entry.name)) walk(path);
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

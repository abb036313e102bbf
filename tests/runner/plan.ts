/**
 * Which test files share a process and which processes may run side by side. The units of a top folder share one, or a few if they
 * are many. A GPU file has one of its own: a driver that crashes takes one file with it. Whole fleets measure silence in seconds, so
 * an integration file has the machine for itself.
 */
import type { GroupName } from "./discover.ts";

export interface PlannedProcess {
  readonly group: GroupName;
  /** The file, or the top folder of many. */
  readonly name: string;
  readonly files: readonly string[];
}

/** More would come close to a process's time limit on a busy machine. */
const MAX_UNIT_FILES = 100;

export interface TestPlan {
  /** A few at a time. */
  readonly together: readonly PlannedProcess[];
  /** One after the other, behind those. */
  readonly alone: readonly PlannedProcess[];
}

export function planProcesses(
  files: Readonly<Record<GroupName, readonly string[]>>,
  groups: readonly GroupName[],
): TestPlan {
  const each = (group: GroupName): PlannedProcess[] =>
    groups.includes(group) ? files[group].map((file) => ({ group, name: file, files: [file] })) : [];
  const unitFiles = groups.includes("unit") ? files.unit : [];
  const units = Map.groupBy(unitFiles, (file) => file.split("/")[0]!);
  const unitProcesses = [...units].flatMap(([folder, files]) => processesOf(`units of ${folder}`, files));
  return { together: [...unitProcesses, ...each("gpu")], alone: each("integration") };
}

function processesOf(name: string, files: readonly string[]): PlannedProcess[] {
  const count = Math.ceil(files.length / MAX_UNIT_FILES);
  const size = Math.ceil(files.length / count);
  return Array.from({ length: count }, (_, index): PlannedProcess => ({
    group: "unit",
    name: count === 1 ? name : `${name}, part ${index + 1} of ${count}`,
    files: files.slice(index * size, (index + 1) * size),
  }));
}

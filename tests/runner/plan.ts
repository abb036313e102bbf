/**
 * Which test files share a process and which processes may run side by side. Units share one. A GPU file has one of its
 * own: a driver that crashes takes one file with it. Whole fleets measure silence in seconds, so an integration file has
 * the machine for itself.
 */
import type { GroupName } from "./discover.ts";

export interface PlannedProcess {
  readonly group: GroupName;
  /** The file, or the group where it has many. */
  readonly name: string;
  readonly files: readonly string[];
}

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
  const units: PlannedProcess[] = groups.includes("unit") && files.unit.length > 0
    ? [{ group: "unit", name: "unit", files: files.unit }]
    : [];
  return { together: [...units, ...each("gpu")], alone: each("integration") };
}

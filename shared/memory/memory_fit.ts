/** Whether a memory plan fits a device, and the plan as text. */
import { LoraFleetError } from "../errors.ts";
import { formatBytes } from "./format_bytes.ts";
import type { MemoryPlan, PlanGroup } from "./memory_plan.ts";

/** The plan as a table, for the log. */
export function formatPlan(plan: MemoryPlan): string {
  const lines = plan.groups.map(({ name, bytes, detail }) =>
    `  ${name.padEnd(26)}${formatBytes(bytes).padStart(11)}  ${detail}`
  );
  return ["memory plan:", ...lines, `  ${"total".padEnd(26)}${formatBytes(plan.totalBytes).padStart(11)}`]
    .join("\n");
}

/**
 * Refuses a plan that cannot be allocated, with its numbers.
 * @param budgetBytes null if neither the user nor the device states a budget
 * @throws LoraFleetError `does_not_fit`
 */
export function assertFits(
  plan: MemoryPlan,
  budgetBytes: number | null,
  maxTensorBytes: number,
  device: string,
): void {
  const { largest } = plan;
  if (largest.bytes > maxTensorBytes) {
    const [needed, most] = toldApart(largest.bytes, maxTensorBytes);
    throw new LoraFleetError(
      "does_not_fit",
      `Planning memory failed: buffer "${largest.name}" needs ${needed}, and ${device} binds at most ${most} at once. ` +
        `To make it smaller, ${largest.advice}.`,
    );
  }
  if (budgetBytes !== null && plan.totalBytes > budgetBytes) {
    throw new LoraFleetError(
      "does_not_fit",
      `Planning memory failed: the job needs ${formatBytes(plan.totalBytes)}, and ${device} has ${
        formatBytes(budgetBytes)
      } for it. ${adviceFor(plan, budgetBytes)}\n${formatPlan(plan)}`,
    );
  }
}

/** Two sizes; in bytes, if they would read the same. */
function toldApart(...sizes: readonly [number, number]): string[] {
  const [one, other] = sizes.map(formatBytes);
  return one === other ? sizes.map((bytes) => `${bytes} bytes`) : [one!, other!];
}

/** Advice on the largest part, or on the largest other part if that is the base model, which nothing shrinks. */
function adviceFor({ groups, totalBytes }: MemoryPlan, budgetBytes: number): string {
  const largestOf = (some: readonly PlanGroup[]) =>
    some.reduce((largest, group) => group.bytes > largest.bytes ? group : largest);
  const about = ({ name, bytes, advice }: PlanGroup) =>
    `${name} (${formatBytes(bytes)}): to save memory there, ${advice}.`;
  const fixed = groups.filter(({ isFixed }) => isFixed);
  const fixedBytes = fixed.reduce((sum, { bytes }) => sum + bytes, 0);
  const rest = largestOf(groups.filter(({ isFixed }) => !isFixed));
  if (fixedBytes > budgetBytes) {
    return `The base model alone takes ${formatBytes(fixedBytes)}: ${largestOf(fixed).advice}.`;
  }
  if (fixedBytes <= totalBytes - fixedBytes) return `The largest part is ${about(rest)}`;
  return `The largest part is the base model with ${
    formatBytes(fixedBytes)
  }, which fits; the largest part that the job adds is ` +
    about(rest);
}

/** A plan in words, before anything is done. */
import { createRedactor } from "../../shared/redact.ts";
import type { ServicePlan } from "./plan.ts";

/** `secrets` are not shown. */
export function explain(plan: ServicePlan, secrets: readonly (string | null)[]): string {
  const redactor = createRedactor();
  redactor.add(...secrets);
  const files = plan.files.flatMap(({ path, text, isSecret }) => [
    `  ${path}${isSecret ? "  (readable by you alone)" : ""}`,
    ...text.trimEnd().split(/\r?\n/).map((line) => `    | ${line}`),
  ]);
  const lines = [
    `This makes ${plan.name} a service. It writes:`,
    ...files,
    "and runs:",
    ...plan.start.map((command) => `  ${command.join(" ")}`),
    ...plan.remarks,
    `Its log: ${plan.log}`,
  ];
  return redactor.redact(lines.join("\n"));
}

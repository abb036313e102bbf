/** All findings as text for people, or as JSON; no secret in either. */
import { createRedactor } from "../../shared/redact.ts";
import type { Finding, Verdict } from "./finding.ts";

const MARKS: Readonly<Record<Verdict, string>> = { ok: "ok  ", note: "note", problem: "FAIL" };

export function textReport(findings: readonly Finding[], secrets: readonly (string | null)[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.flatMap(({ check, verdict, found, advice }) => [
    `${MARKS[verdict]}  ${check.padEnd(width)}  ${found}`,
    ...advice === null ? [] : [`      ${" ".repeat(width)}  → ${advice}`],
  ]);
  const problems = findings.filter(({ verdict }) => verdict === "problem").length;
  const end = problems === 0 ? "All is well." : `${problems} of ${findings.length} checks fail.`;
  return redactorOf(secrets)([...lines, "", end].join("\n"));
}

export function jsonReport(findings: readonly Finding[], secrets: readonly (string | null)[]): string {
  return redactorOf(secrets)(JSON.stringify(findings, null, 2));
}

function redactorOf(secrets: readonly (string | null)[]): (text: string) => string {
  const redactor = createRedactor();
  redactor.add(...secrets);
  return (text) => redactor.redact(text);
}

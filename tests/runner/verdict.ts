/** Whether a test run is good, as a pure decision over what its groups did. */
import type { GroupName } from "./discover.ts";
import { addCounts, hasReason, noTests } from "./junit.ts";
import type { ProcessResult } from "./result.ts";

export interface Verdict {
  readonly good: boolean;
  /** Each failed test with its message: a log that was cut still ends with them. */
  readonly failures: readonly string[];
  /** Why it is not good, beyond failed tests. */
  readonly reasons: readonly string[];
  /** `N passed, N failed`, over all groups. */
  readonly summary: string;
}

const MESSAGE_LINES = 20;
/** A test that failed by its steps, which are failures of their own. */
const ONLY_STEPS = /^\d+ test steps? failed\.?$/;

/**
 * Judges the results. Bad are: a failed test, a test that was ignored without a reason in its name, and a GPU test
 * file in which nothing ran: the GPU is what most of the code is about, so its absence must not look like success.
 * @param required the groups that were asked for
 * @param timedOut whether the time limit ended the run
 */
export function judge(
  results: readonly ProcessResult[],
  required: readonly GroupName[],
  timedOut: boolean,
): Verdict {
  const total = results.reduce((sum, result) => addCounts(sum, result.counts), noTests);
  const reasons: string[] = [];
  if (timedOut) reasons.push("the time limit was reached; tests after it did not run");
  for (const name of total.ignored) {
    if (!hasReason(name)) {
      reasons.push(`"${name}" was ignored; its name must say why: [ignored <where>: <why>]`);
    }
  }
  for (const { group, name, counts } of results) {
    if (group === "gpu" && counts.passed + counts.failed === 0) reasons.push(`no GPU test ran in ${name}`);
  }
  for (const group of required) {
    const ran = results.some((result) =>
      result.group === group && result.counts.passed + result.counts.failed > 0
    );
    if (!ran && group !== "integration" && !timedOut) reasons.push(`no ${group} test ran`);
  }
  const failures = results.flatMap(({ name: where, counts }) =>
    counts.failures.filter(({ message }) => !ONLY_STEPS.test(message)).map(({ name, message }) =>
      `failed in ${where}: ${name}\n${indented(message)}`
    )
  );
  return {
    good: total.failed === 0 && reasons.length === 0,
    failures,
    reasons,
    summary: `${total.passed} passed, ${total.failed} failed`,
  };
}

function indented(message: string): string {
  const lines = message.trimEnd().split("\n");
  const more = lines.length - MESSAGE_LINES;
  if (more > 0) lines.splice(MESSAGE_LINES, more, `… ${more} more lines above`);
  return lines.map((line) => `    ${line}`.trimEnd()).join("\n");
}

/** What a test process did, from its report and its output. */
import type { ChildOutcome } from "./child.ts";
import type { GroupName } from "./discover.ts";
import { countTests, type FailedTest, type TestCounts } from "./junit.ts";

export interface ProcessResult {
  readonly group: GroupName;
  /** The test file, or a name for many of them. */
  readonly name: string;
  readonly counts: TestCounts;
}

const LAST_LINES = 15;

/**
 * Counts a process's tests. A process that did not end well, but reports no failed test, failed outside of any test (a
 * crash, a deadline, a module that does not load): that counts as one failure, with its last lines as the message.
 * @param xml the report, or "" where the process died before it wrote one
 */
export function countProcess(
  name: string,
  outcome: ChildOutcome,
  xml: string,
  deadlineMs: number,
): TestCounts {
  const counts = countTests(xml);
  if (outcome.succeeded) return counts;
  const uncaught = uncaughtErrors(outcome.output);
  if (counts.failed > 0) return { ...counts, failures: [...uncaught, ...counts.failures] };
  const ended = outcome.isLate
    ? `still running after ${deadlineMs / 1000} s, and ended`
    : `ended with ${outcome.exitCode === null ? "a signal" : `exit code ${outcome.exitCode}`}`;
  const message = `${ended}; its last lines:\n${lastLines(outcome.output)}`;
  return { ...counts, failed: 1, failures: [...uncaught, { name, message }] };
}

/**
 * Whether a signal ended the process when all of its tests had passed. A software driver does that, rarely, while it is unloaded
 * (heap checks of the C library): it says nothing about the tests, but twice in a row is no accident.
 */
export function diedAfterItsTests(outcome: ChildOutcome, xml: string): boolean {
  const { passed, failed } = countTests(xml);
  return !outcome.succeeded && !outcome.isLate && outcome.exitCode === null && failed === 0 && passed > 0;
}

/** Errors outside of tests: the report has only the tests that were cancelled by them. */
function uncaughtErrors(output: string): FailedTest[] {
  const found = withoutColours(output).matchAll(/^(\S+ \(uncaught error\))\n(.+(?:\n.+)*)/gm);
  return [...found].map(([, name, message]) => ({ name: name!, message: message! }));
}

function lastLines(output: string): string {
  return withoutColours(output).split("\n").filter((line) => line.trim() !== "").slice(-LAST_LINES).join(
    "\n",
  );
}

function withoutColours(text: string): string {
  // deno-lint-ignore no-control-regex -- that is what colours are
  return text.replace(/\x1b\[[0-9;]*m/g, "");
}

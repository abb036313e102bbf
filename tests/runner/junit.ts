/** Reads what `deno test --junit-path` writes: how many tests passed and failed, and which were ignored. */

export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  /** Names of the tests that were not run. */
  readonly ignored: readonly string[];
}

export const noTests: TestCounts = { passed: 0, failed: 0, ignored: [] };

/**
 * Counts the test cases of a report. Steps of a test count as tests, as they do in the report.
 * @param xml the report, or "" where the process died before it wrote one
 * @param exitedWell whether the process exited with 0. A process that did not, but reports no failed test, failed
 *   outside of any test (a crash, a module that does not load): that counts as one failure.
 */
export function countTests(xml: string, exitedWell: boolean): TestCounts {
  let passed = 0;
  let failed = 0;
  const ignored: string[] = [];
  for (const match of xml.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const body = match[2] ?? "";
    if (body.includes("<failure") || body.includes("<error")) failed++;
    else if (body.includes("<skipped")) ignored.push(unescapeXml(match[1]!));
    else passed++;
  }
  return { passed, failed: failed === 0 && !exitedWell ? 1 : failed, ignored };
}

export function addCounts(a: TestCounts, b: TestCounts): TestCounts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, ignored: [...a.ignored, ...b.ignored] };
}

/** Whether an ignored test says why in its name: `… [ignored on Windows: no signals]`. */
export function hasReason(testName: string): boolean {
  return /\[ignored [^\]]+: [^\]]+\]/.test(testName);
}

function unescapeXml(text: string): string {
  const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => entities[name]!);
}

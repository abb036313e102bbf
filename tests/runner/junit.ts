/** Reads what `deno test --junit-path` writes: how many tests passed, which failed and why, and which were ignored. */

export interface FailedTest {
  /** The test, or the process where that failed as a whole. */
  readonly name: string;
  /** What it says, with the place in the source. */
  readonly message: string;
}

export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly failures: readonly FailedTest[];
  /** Names of the tests that were not run. */
  readonly ignored: readonly string[];
}

export const noTests: TestCounts = { passed: 0, failed: 0, failures: [], ignored: [] };

/** Counts the test cases of a report. Steps of a test count as tests, as they do in the report. */
export function countTests(xml: string): TestCounts {
  let passed = 0;
  const failures: FailedTest[] = [];
  const ignored: string[] = [];
  for (const match of xml.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const name = unescapeXml(match[1]!);
    const body = match[2] ?? "";
    const failure = /<(?:failure|error) message="([^"]*)"(?:\/>|>([\s\S]*?)<\/)/.exec(body);
    if (failure) failures.push({ name, message: unescapeXml(failure[2] || failure[1]!) });
    else if (body.includes("<skipped")) ignored.push(name);
    else passed++;
  }
  return { passed, failed: failures.length, failures, ignored };
}

export function addCounts(a: TestCounts, b: TestCounts): TestCounts {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    failures: [...a.failures, ...b.failures],
    ignored: [...a.ignored, ...b.ignored],
  };
}

/** Whether an ignored test says why in its name: `… [ignored on Windows: no signals]`. */
export function hasReason(testName: string): boolean {
  return /\[ignored [^\]]+: [^\]]+\]/.test(testName);
}

function unescapeXml(text: string): string {
  const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => entities[name]!);
}

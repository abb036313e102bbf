import { assertEquals } from "@std/assert";
import type { ChildOutcome } from "./child.ts";
import { countProcess, diedAfterItsTests } from "./result.ts";

const good: ChildOutcome = { succeeded: true, isLate: false, exitCode: 0, output: "" };
const failing = (changes: Partial<ChildOutcome>) => ({ ...good, succeeded: false, exitCode: 1, ...changes });
const passed = '<testcase name="a" line="1" col="1"/>';
const failed = '<testcase name="b" line="1" col="1"><error message="Cancelled"/></testcase>';

Deno.test("a process that ends well has the counts of its report", () => {
  assertEquals(countProcess("x", good, passed, 1000), { passed: 1, failed: 0, failures: [], ignored: [] });
});

Deno.test("a process that dies outside of a test is one failure, with its last words", () => {
  const crashed = failing({ exitCode: null, output: "a ... ok\n\n\x1b[31mdriver\x1b[0m: lost\n" });
  assertEquals(countProcess("x_gpu_test.ts", crashed, passed, 1000), {
    passed: 1,
    failed: 1,
    failures: [{
      name: "x_gpu_test.ts",
      message: "ended with a signal; its last lines:\na ... ok\ndriver: lost",
    }],
    ignored: [],
  });
  assertEquals(
    countProcess("x", failing({}), "", 1000).failures[0]!.message.split(";")[0],
    "ended with exit code 1",
  );
});

Deno.test("only a signal after tests that have all passed is a death after them", () => {
  const died = failing({ exitCode: null });
  assertEquals(diedAfterItsTests(died, passed), true);
  assertEquals(diedAfterItsTests(died, passed + failed), false);
  assertEquals(diedAfterItsTests(died, ""), false);
  assertEquals(diedAfterItsTests(failing({ exitCode: 134 }), passed), false);
  assertEquals(diedAfterItsTests(failing({ exitCode: null, isLate: true }), passed), false);
  assertEquals(diedAfterItsTests(good, passed), false);
});

Deno.test("a process that hangs is named, with the test that it was in", () => {
  const late = failing({ isLate: true, exitCode: null, output: "a ... ok\nb ..." });
  const { failed, failures } = countProcess("x", late, "", 300_000);
  assertEquals([failed, failures[0]!.message], [
    1,
    "still running after 300 s, and ended; its last lines:\na ... ok\nb ...",
  ]);
});

Deno.test("an uncaught error is named beside the tests that it cancelled", () => {
  const output =
    "ERRORS\n\n./a_test.ts (uncaught error)\nerror: Error: late\n    at a_test.ts:4:5\n\nFAILURES\n";
  const counts = countProcess("unit", failing({ output }), passed + failed, 1000);
  assertEquals([counts.passed, counts.failed], [1, 1]);
  assertEquals(counts.failures, [
    { name: "./a_test.ts (uncaught error)", message: "error: Error: late\n    at a_test.ts:4:5" },
    { name: "b", message: "Cancelled" },
  ]);
});

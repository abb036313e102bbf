import { assertEquals } from "@std/assert";
import { addCounts, countTests, hasReason, noTests } from "./junit.ts";

const report = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="4" failures="1" errors="0" time="0.095">
    <testsuite name="./a_test.ts" tests="4" disabled="1" errors="0" failures="1">
        <testcase name="a" classname="./a_test.ts" time="0.002" line="1" col="6">
        </testcase>
        <testcase name="b &lt;x&gt; &amp; &quot;q&quot;" classname="./a_test.ts" time="0.000" line="2" col="6">
            <skipped/>
        </testcase>
        <testcase name="c" classname="./a_test.ts" time="0.002" line="3" col="6">
            <failure message="Uncaught Error: x">Error: x</failure>
        </testcase>
        <testcase name="a &gt; step" classname="./a_test.ts" time="0.000" line="1" col="37"/>
    </testsuite>
</testsuites>`;

Deno.test("passed, failed and ignored tests are told apart", () => {
  assertEquals(countTests(report, false), { passed: 2, failed: 1, ignored: ['b <x> & "q"'] });
});

Deno.test("a process that dies outside of a test is one failure", () => {
  assertEquals(countTests("", false), { passed: 0, failed: 1, ignored: [] });
  assertEquals(countTests("", true), noTests);
  assertEquals(countTests(report.replace(/<failure.*failure>/, ""), false).failed, 1);
});

Deno.test("counts add up over processes", () => {
  const once = countTests(report, false);
  assertEquals(addCounts(once, once), { passed: 4, failed: 2, ignored: ['b <x> & "q"', 'b <x> & "q"'] });
});

Deno.test("an ignored test must say why", () => {
  assertEquals(hasReason("signals [ignored on Windows: there are none]"), true);
  assertEquals(hasReason("signals [ignored on Windows]"), false);
  assertEquals(hasReason("signals"), false);
});

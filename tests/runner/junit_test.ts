import { assertEquals } from "@std/assert";
import { addCounts, countTests, hasReason, noTests } from "./junit.ts";

const report = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="5" failures="1" errors="1" time="0.095">
    <testsuite name="./a_test.ts" tests="5" disabled="1" errors="1" failures="1">
        <testcase name="a" classname="./a_test.ts" time="0.002" line="1" col="6">
        </testcase>
        <testcase name="b &lt;x&gt; &amp; &quot;q&quot;" classname="./a_test.ts" time="0.000" line="2" col="6">
            <skipped/>
        </testcase>
        <testcase name="c" classname="./a_test.ts" time="0.002" line="3" col="6">
            <failure message="Uncaught Error: x &amp; y">Error: x &amp; y
    at a_test.ts:3:1</failure>
        </testcase>
        <testcase name="d" classname="./a_test.ts" time="0.000" line="4" col="6">
            <error message="Cancelled"/>
        </testcase>
        <testcase name="a &gt; step" classname="./a_test.ts" time="0.000" line="1" col="37"/>
    </testsuite>
</testsuites>`;

const counts = {
  passed: 2,
  failed: 2,
  failures: [
    { name: "c", message: "Error: x & y\n    at a_test.ts:3:1" },
    { name: "d", message: "Cancelled" },
  ],
  ignored: ['b <x> & "q"'],
};

Deno.test("passed, failed and ignored tests are distinguished, and a failure has its message", () => {
  assertEquals(countTests(report), counts);
  assertEquals(countTests(""), noTests);
});

Deno.test("counts add up over processes", () => {
  assertEquals(addCounts(counts, counts), {
    passed: 4,
    failed: 4,
    failures: [...counts.failures, ...counts.failures],
    ignored: [...counts.ignored, ...counts.ignored],
  });
  assertEquals(addCounts(counts, noTests), counts);
});

Deno.test("an ignored test must say why", () => {
  assertEquals(hasReason("signals [ignored on Windows: there are none]"), true);
  assertEquals(hasReason("signals [ignored on Windows]"), false);
  assertEquals(hasReason("signals"), false);
});

import { assertEquals } from "@std/assert";
import { started } from "./step_fixture.ts";

Deno.test("a claim with the maxima of a different adapter is refused", () => {
  const driver = started(["w-a"]);
  const { term, step, attempt } = driver.training;
  const effects = driver.apply({
    type: "report",
    report: {
      ...{ worker: "w-a", incarnation: "i-w-a", term, step, attempt, index: 0, claim: 0 },
      ...{
        lossSum: 1,
        labelCount: 1,
        correctCount: 1,
        maxAbs: "AACAPw==",
        computeMs: 1,
        gradientDigest: null,
      },
      ...{ gradientCheck: null, audit: null },
    },
  });
  assertEquals(effects, [{ type: "verdict", verdict: "unknown" }]);
});

import { assertEquals } from "@std/assert";
import { Outlook, planLine } from "./job_outlook.ts";

const totals = { steps: 100, tokens: 200_000 };

Deno.test("a job that is loaded shows its steps and tokens, if its coordinator tells them", () => {
  assertEquals(
    planLine({ totals, localSteps: null }),
    "the whole job has 100 steps with 200000 tokens, about 2000 each; the time that is left follows with the commits",
  );
  const localSteps = { outerLearningRate: 1, outerMomentum: 0 };
  assertEquals(planLine({ totals, localSteps })!.slice(0, 32), "the whole job has 100 outer step");
  assertEquals(planLine({ localSteps: null }), null);
});

Deno.test("commits show speed and time left, measured without the first step, which compiles", () => {
  const outlook = new Outlook({ totals });
  assertEquals(outlook.committed(1, 60_000), " (of 100)");
  assertEquals(outlook.committed(2, 61_000), " (of 100)");
  assertEquals(
    outlook.committed(12, 81_000),
    " (of 100), 1000 tokens/s with the whole fleet, about 2:56 left",
  );
  assertEquals(
    outlook.committed(100, 257_000),
    " (of 100), 1000 tokens/s with the whole fleet, about 0:00 left",
  );
});

Deno.test("hours; a worker that joins late counts from what it sees; no plan, no words", () => {
  const late = new Outlook({ totals: { steps: 10_000, tokens: 10_000_000 } });
  late.committed(5000, 0);
  late.committed(5001, 1000);
  assertEquals(
    late.committed(5002, 2000),
    " (of 10000), 1000 tokens/s with the whole fleet, about 1:23:18 left",
  );
  const silent = new Outlook({});
  assertEquals([1, 2, 3].map((step) => silent.committed(step, step)), ["", "", ""]);
});

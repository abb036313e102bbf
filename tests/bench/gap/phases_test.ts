import { assertEquals } from "@std/assert";
import { phasesOf, totalOf } from "./phases.ts";
import type { TimedCall } from "./timed_engine.ts";

const call = (worker: string, call: TimedCall["call"], from: number, to: number) => ({
  worker,
  call,
  from,
  to,
});

Deno.test("the parts of a gap follow each other from the fleet's last micro-batch to this worker's next one", () => {
  const calls = [
    call("a", "computeGradient", 0, 10),
    call("a", "accumulate", 12, 13),
    call("b", "computeGradient", 0, 20),
    call("b", "accumulate", 22, 23),
    call("a", "readSums", 25, 30),
    call("a", "update", 50, 90),
    call("a", "commit", 96, 97),
    call("a", "computeGradient", 100, 110),
    call("b", "readSums", 26, 30),
    call("b", "update", 50, 92),
    call("b", "commit", 96, 97),
  ];
  const phases = phasesOf(calls, "a");
  assertEquals(phases, [
    {
      claim: 2,
      addition: 1,
      round: 2,
      readback: 5,
      allReduce: 20,
      update: 40,
      decision: 6,
      commit: 1,
      work: 3,
    },
  ]);
  assertEquals(totalOf(phases[0]!), 80);
  // b's next micro-batch is not in the calls: nothing is said of its gap.
  assertEquals(phasesOf(calls, "b"), []);
});

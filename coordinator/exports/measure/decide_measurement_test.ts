import { assertEquals, assertMatch } from "@std/assert";
import {
  type Assigned,
  decideMeasurement,
  MEASURE_LIMIT_MS,
  type MeasurementView,
} from "./decide_measurement.ts";

const ref = (worker: string, incarnation = `i-${worker}`) => ({ worker, incarnation });
const waiting = (id: string, ...failed: string[]) => ({
  id,
  measurement: {
    ...{ status: "waiting", worker: null, reason: null } as const,
    failures: failed.map((worker) => ({ worker, reason: "no room" })),
  },
});
const current: Assigned = { exportId: "e-1", ...ref("w-a"), attempt: 3, since: 1000 };

function decide(change: Partial<MeasurementView>, workers = [ref("w-a"), ref("w-b")], isTraining = false) {
  return decideMeasurement({
    ...{ unmeasured: [waiting("e-1"), waiting("e-2")], current: null, now: 2000 },
    measurers: { isTraining, workers },
    ...change,
  });
}

Deno.test("the oldest merge goes to an idle worker that has not failed to measure it", () => {
  assertEquals(decide({}).assigned, { exportId: "e-1", ...ref("w-a"), since: 2000 });
  assertEquals(decide({ unmeasured: [waiting("e-1", "w-a")] }).assigned?.worker, "w-b");
  const unmeasured = [waiting("e-1", "w-a", "w-b"), waiting("e-2")];
  assertEquals(decide({ unmeasured }).assigned?.exportId, "e-2");
});

Deno.test("without an idle worker nothing is measured, for a reason", () => {
  assertEquals([decide({}, []).assigned, decide({}, []).reason], [null, "no worker has joined"]);
  const busy = decide({}, undefined, true);
  assertEquals([busy.assigned, busy.reason], [null, "the workers train a job"]);
  const all = decide({ unmeasured: [waiting("e-1", "w-a", "w-b")] });
  assertEquals(all.assigned, null);
  assertMatch(all.reason, /waits for a worker that has not failed/);
});

Deno.test("a measurement goes on until it is over, its worker is gone, a job comes, or its time is up", () => {
  const goesOn = decide({ current });
  assertEquals([goesOn.assigned, goesOn.ended], [current, null]);
  assertEquals(decide({ current, unmeasured: [] }).ended, { reason: "it is over", isFailure: false });
  const gone = decide({ current }, [ref("w-a", "i-2"), ref("w-b")]);
  assertEquals(gone.ended, { reason: "w-a is gone", isFailure: false });
  assertEquals(gone.assigned?.incarnation, "i-2");
  const busy = decide({ current }, undefined, true);
  assertEquals([busy.ended?.isFailure, busy.assigned], [false, null]);
  const late = decide({ current, now: 1001 + MEASURE_LIMIT_MS });
  assertMatch(late.ended!.reason, /w-a has not measured it within 60 minutes/);
  assertEquals([late.ended!.isFailure, late.assigned?.worker], [true, "w-b"]);
});

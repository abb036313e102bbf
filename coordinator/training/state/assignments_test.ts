import { assertEquals } from "@std/assert";
import { assignmentFor, leastAsked, withAssignment, withoutAssignments } from "./assignments.ts";
import { newTraining } from "./training.ts";

const training = newTraining({ generation: 1, members: [] }, 1, 0);

Deno.test("ids of assignments are never reused, even after a withdrawal", () => {
  const first = withAssignment(training, { index: 3, worker: "w-a", purpose: "audit" });
  assertEquals(assignmentFor(first, 3, "audit")?.id, 0);
  assertEquals(assignmentFor(first, 3, "claim"), undefined);
  const none = withoutAssignments(first, ({ worker }) => worker === "w-a");
  assertEquals(none.assignments, []);
  assertEquals(withAssignment(none, { index: 3, worker: "w-b", purpose: "audit" }).assignments[0]!.id, 1);
  assertEquals(withoutAssignments(none, () => true), none);
});

Deno.test("the worker with the fewest assignments is asked; ties take turns", () => {
  const candidates = ["w-a", "w-b", "w-c"];
  assertEquals([0, 1, 2, 3].map((index) => leastAsked(training, candidates, index)), [
    ...candidates,
    "w-a",
  ]);
  const busy = withAssignment(training, { index: 9, worker: "w-a", purpose: "claim" });
  assertEquals([0, 1, 2].map((index) => leastAsked(busy, candidates, index)), ["w-b", "w-b", "w-c"]);
  assertEquals(leastAsked(training, [], 0), null);
});

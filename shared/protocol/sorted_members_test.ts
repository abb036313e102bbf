import { assertEquals } from "@std/assert";
import { memberAmong, placeAmong } from "./sorted_members.ts";

const members = ["w-b", "w-d", "w-f"].map((worker) => ({ worker, incarnation: `i-${worker}` }));

Deno.test("a worker's index, or its insertion point", () => {
  assertEquals(["w-b", "w-d", "w-f"].map((worker) => placeAmong(members, worker)), [0, 1, 2]);
  assertEquals(["w-a", "w-c", "w-e", "w-g"].map((worker) => placeAmong(members, worker)), [-1, -2, -3, -4]);
  assertEquals(placeAmong([], "w-a"), -1);
});

Deno.test("each of many members is found", () => {
  const many = Array.from({ length: 1000 }, (_, i) => `w-${i}`).sort((a, b) => a < b ? -1 : 1);
  const sorted = many.map((worker) => ({ worker }));
  assertEquals(many.map((worker) => placeAmong(sorted, worker)), many.map((_, index) => index));
});

Deno.test("a worker under a different incarnation is no member", () => {
  assertEquals(memberAmong(members, { worker: "w-d", incarnation: "i-w-d" }), members[1]);
  assertEquals(memberAmong(members, { worker: "w-d", incarnation: "i-0" }), undefined);
  assertEquals(memberAmong(members, { worker: "w-a", incarnation: "i-0" }), undefined);
});

import { assertEquals } from "@std/assert";
import { Arrival } from "./arrival.ts";

Deno.test("an arrival tells of each piece, begins with the first and is whole with the last", async () => {
  const arrival = new Arrival();
  const array = new Int32Array(6);
  const told: (number | string)[] = [];
  arrival.begun.then((begun) => told.push(`begun ${begun === array}`));
  arrival.whole.then(() => told.push("whole"));
  arrival.watch(() => told.push(arrival.count));
  await Promise.resolve();
  assertEquals([told, arrival.count], [[], 0]);
  for (const count of [2, 5, 6]) {
    arrival.reach(array, count);
    await Promise.resolve();
  }
  assertEquals(told, [2, "begun true", 5, 6, "whole"]);
});

Deno.test("a reading that begins again does not take back what was told; a new watcher replaces the old one", () => {
  const arrival = new Arrival();
  const told: string[] = [];
  arrival.watch(() => told.push(`a ${arrival.count}`));
  arrival.reach(new Int32Array(6), 4);
  arrival.reach(new Int32Array(6), 2);
  assertEquals(arrival.count, 4);
  arrival.watch(() => told.push(`b ${arrival.count}`));
  arrival.reach(new Int32Array(6), 6);
  assertEquals(told, ["a 4", "b 6"]);
});

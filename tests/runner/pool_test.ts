import { assertEquals, assertRejects } from "@std/assert";
import { runPool } from "./pool.ts";

Deno.test("tasks run two at a time, begin in their order, and give their results in it", async () => {
  const begun: number[] = [];
  let running = 0;
  let most = 0;
  const tasks = [30, 5, 5, 1].map((milliseconds, index) => async () => {
    begun.push(index);
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    running--;
    return index;
  });
  assertEquals(await runPool(tasks, 2), [0, 1, 2, 3]);
  assertEquals([begun, most], [[0, 1, 2, 3], 2]);
  assertEquals(await runPool([], 2), []);
});

Deno.test("after a failure nothing else is begun, and what runs is waited for", async () => {
  const done: string[] = [];
  const tasks = [
    async () => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      done.push("slow");
    },
    () => Promise.reject(new Error("first")),
    () => Promise.resolve(void done.push("never")),
  ];
  await assertRejects(() => runPool(tasks, 2), Error, "first");
  assertEquals(done, ["slow"]);
});

import { assert, assertEquals, assertRejects } from "./assert.ts";
import { ThreadError, ThreadPool } from "./thread_pool.ts";
import type { FixtureAnswer, FixtureCall } from "./thread_pool_fixture.ts";

const open = (threads: number) =>
  new ThreadPool<FixtureCall, FixtureAnswer>({
    ...{ script: new URL("./thread_pool_fixture.ts", import.meta.url), threads, name: "fixture" },
  });

Deno.test("each call has its own answer, whatever thread gave it", async () => {
  using pool = open(2);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, value) => pool.run({ value, does: "answer" })),
  );
  assertEquals(answers.map(({ value }) => value), Array.from({ length: 20 }, (_, value) => 2 * value));
  const most = Math.max(...answers.map(({ callOfThread }) => callOfThread));
  assert(most < 20, "one thread answered all calls");
});

Deno.test("buffers that are handed over are not copied", async () => {
  using pool = open(1);
  const bytes = new Uint8Array([1, 2, 3]);
  const answer = await pool.run({ value: 1, does: "answer", bytes }, [bytes.buffer]);
  assertEquals([bytes.length, [...answer.bytes!]], [0, [1, 2, 3]]);
});

Deno.test("what a thread's program throws rejects the call, and the thread goes on", async () => {
  using pool = open(1);
  const failing = pool.run({ value: 7, does: "throw" });
  const next = pool.run({ value: 8, does: "answer" });
  const error = await assertRejects(() => failing, ThreadError, "cannot work on 7");
  assert(error.stack?.includes("thread_pool_fixture"), error.stack);
  assertEquals(await next, { value: 16, callOfThread: 2, bytes: new Uint8Array() });
});

Deno.test("a value that cannot be copied rejects its call alone", async () => {
  using pool = open(1);
  const call = { value: 1, does: "answer", more: () => {} } as const;
  await assertRejects(() => pool.run(call), DOMException);
  assertEquals((await pool.run({ value: 2, does: "answer" })).value, 4);
});

Deno.test("a thread that breaks, or whose program is not there, ends the pool: every call rejects", async () => {
  using pool = open(1);
  const calls = [pool.run({ value: 1, does: "break" }), pool.run({ value: 2, does: "answer" })];
  for (const call of calls) await assertRejects(() => call, ThreadError, "out of order");
  await assertRejects(() => pool.run({ value: 3, does: "answer" }), ThreadError, "out of order");
  using nothing = new ThreadPool<number, number>({
    ...{ script: new URL("./there_is_none.ts", import.meta.url), threads: 2, name: "none" },
  });
  await assertRejects(() => nothing.run(1), ThreadError);
});

Deno.test("a pool that is disposed of ends its calls", async () => {
  const pool = open(1);
  const calls = [pool.run({ value: 1, does: "answer" }), pool.run({ value: 2, does: "answer" })];
  pool[Symbol.dispose]();
  for (const call of calls) await assertRejects(() => call, ThreadError, "were ended");
});

import { assertEquals, assertRejects } from "@std/assert";
import { createKeyedTurns, createTurns } from "./turns.ts";

const patient = new AbortController().signal;

Deno.test("two turns at a time, in order, the urgent ones first", async () => {
  const { next, urgent } = createTurns(2);
  const began: string[] = [];
  const ends = new Map<string, () => void>();
  const ask = (take: typeof next, name: string) =>
    void take(patient).then((end) => {
      began.push(name);
      ends.set(name, end);
    });
  for (const name of ["a", "b", "c", "d"]) ask(next, name);
  ask(urgent, "u");
  await Promise.resolve();
  assertEquals(began, ["a", "b"]);
  for (const name of ["b", "a", "u", "c", "d"]) {
    ends.get(name)!();
    // Ending a turn twice does not end a different one.
    ends.get(name)!();
    await Promise.resolve();
  }
  assertEquals(began, ["a", "b", "u", "c", "d"]);
});

Deno.test("a waiter that gives up is skipped", async () => {
  const { next } = createTurns(1);
  const end = await next(patient);
  const gone = new AbortController();
  const refused = assertRejects(() => next(gone.signal), Error, "gone");
  const after = next(patient);
  gone.abort(new Error("gone"));
  await refused;
  end();
  (await after)();
  await assertRejects(() => next(gone.signal), Error, "gone");
  (await next(patient))();
});

Deno.test("one turn at a time for each key; other keys do not wait", async () => {
  const turnOf = createKeyedTurns();
  const first = await turnOf("a")(patient);
  let hasBegun = false;
  const second = turnOf("a")(patient).then((end) => {
    hasBegun = true;
    return end;
  });
  (await turnOf("b")(patient))();
  assertEquals(hasBegun, false);
  first();
  (await second)();
  (await turnOf("a")(patient))();
});

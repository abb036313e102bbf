import { assertEquals } from "@std/assert";
import { createChange } from "./change.ts";

Deno.test("each waiter is woken once; a later one waits for the next change", async () => {
  const change = createChange();
  const woken: string[] = [];
  change.next().then(() => woken.push("a"));
  change.next().then(() => woken.push("b"));
  change.notify();
  change.next().then(() => woken.push("c"));
  await Promise.resolve();
  assertEquals(woken, ["a", "b"]);
  change.notify();
  await Promise.resolve();
  assertEquals(woken, ["a", "b", "c"]);
});

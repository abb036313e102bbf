import { assertEquals } from "@std/assert";
import { createChange } from "./change.ts";

Deno.test("everybody who waits is told once; who comes later waits for the next time", async () => {
  const change = createChange();
  const heard: string[] = [];
  change.next().then(() => heard.push("a"));
  change.next().then(() => heard.push("b"));
  change.tell();
  change.next().then(() => heard.push("c"));
  await Promise.resolve();
  assertEquals(heard, ["a", "b"]);
  change.tell();
  await Promise.resolve();
  assertEquals(heard, ["a", "b", "c"]);
});

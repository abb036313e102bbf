import { assertEquals } from "@std/assert";
import { hasEnded } from "./processes.ts";

Deno.test("a process has ended once it is reaped, not before; somebody else's has not", async () => {
  assertEquals(hasEnded(Deno.pid), false);
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", "0"], stdout: "null", stderr: "null" })
    .spawn();
  assertEquals(hasEnded(child.pid), false);
  await child.status;
  assertEquals(hasEnded(child.pid), true);
  // Of the system: there, whether we may send it signals or not.
  if (Deno.build.os === "linux") assertEquals(hasEnded(1), false);
});

import { assertEquals } from "@std/assert";
import { isDiskFailure, isDiskFull } from "./disk_errors.ts";

Deno.test("messages distinguish a full disk, a broken one and other errors", () => {
  for (
    const [message, isFull, isFailure] of [
      ["No space left on device (os error 28)", true, true],
      ["write: no space left on device", true, true],
      ["Disk quota exceeded (os error 122)", true, true],
      ["Input/output error (os error 5)", false, true],
      ["Read-only file system (os error 30)", false, true],
      ["Interrupted (os error 52)", false, false],
      ["No such file or directory (os error 2)", false, false],
    ] as const
  ) {
    assertEquals([isDiskFull(new Error(message)), isDiskFailure(new Error(message))], [isFull, isFailure]);
  }
  assertEquals(isDiskFull("No space left"), false);
});

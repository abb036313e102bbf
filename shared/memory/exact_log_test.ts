import { assert, assertEquals } from "@std/assert";
import { exactLog } from "./exact_log.ts";

Deno.test("the logarithm is Math.log's to its last bits, from the smallest to the largest numbers", () => {
  for (let i = -1000; i <= 1000; i++) {
    const x = 2 ** i * (1 + Math.abs(i % 97) / 97);
    const [found, expected] = [exactLog(x), Math.log(x)];
    assert(
      Math.abs(found - expected) <= 4e-16 * Math.max(1, Math.abs(expected)),
      `${x}: ${found} ${expected}`,
    );
  }
  assertEquals([exactLog(1), exactLog(2), exactLog(0.5)], [0, Math.LN2, -Math.LN2]);
});

import { assertAlmostEquals, assertEquals } from "@std/assert";
import { type LinkSpeed, roundMs, transferMs, uploadMs } from "./link_model.ts";

const link = (bytesPerSecond: number, latencyMs = 0): LinkSpeed => ({
  ...{ upBytesPerSecond: bytesPerSecond, downBytesPerSecond: bytesPerSecond, latencyMs },
});
const FREE = { outBytesPerSecond: Infinity, inBytesPerSecond: Infinity };
const four = (each: LinkSpeed) => Array.from({ length: 4 }, () => each);

Deno.test("a round of one member takes no time", () => {
  assertEquals(roundMs([link(1)], [1], 1e9, FREE), 0);
});

Deno.test("a member receives 2·(W−1)/W of the gradient", () => {
  assertAlmostEquals(roundMs(four(link(1e6)), [1, 1, 1, 1], 1e6, FREE), 1500);
});

Deno.test("a slow link that owns nothing takes the gradient's own time", () => {
  const links = [link(1e6), link(1e9), link(1e9), link(1e9)];
  assertAlmostEquals(roundMs(links, [0, 1, 1, 1], 1e6, FREE), 1000);
});

Deno.test("one broker sends out 2·(W−1) gradients", () => {
  const broker = { outBytesPerSecond: 1e6, inBytesPerSecond: Infinity };
  assertAlmostEquals(roundMs(four(link(1e9)), [1, 1, 1, 1], 1e6, broker), 6000);
});

Deno.test("delays: two messages deep, and windows that are full", () => {
  assertAlmostEquals(roundMs(four(link(Infinity, 50)), [1, 1, 1, 1], 1, FREE), 200, 0.01);
  // 24 MiB for each 200 ms there and back.
  assertAlmostEquals(roundMs(four(link(1e12, 50)), [1, 1, 1, 1], 240 * 2 ** 20, FREE), 3000 + 200, 1);
});

Deno.test("transfers go as fast as the slower side", () => {
  assertEquals(transferMs(1e6, link(1e6, 5), link(2e6, 7)), 1012);
  assertEquals(uploadMs(1e6, link(1e6, 5)), 1005);
});

import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { LIMITS, lostAt } from "../../shared/protocol/limits.ts";
import { parseOptions } from "./scale_options.ts";

/** Heartbeats, and when a worker is lost, in milliseconds. */
function timesOf(...args: string[]): [heartbeat: number, lost: number] {
  const { limits } = parseOptions(args).scale;
  return [limits!.heartbeatIntervalMs, lostAt(0, limits!)];
}

Deno.test("a small fleet has production's limits, a large one speaks once a second and is lost after 6 s", () => {
  assertEquals(parseOptions(["--workers", "199"]).scale.limits, LIMITS);
  assertEquals(timesOf("--workers", "199"), [250, 2000]);
  assertEquals(timesOf("--workers", "200"), [1000, 6000]);
});

Deno.test("other heartbeats change nothing about when a worker is lost, but two of them may always be missing", () => {
  assertEquals(timesOf("--workers", "10000", "--heartbeat-ms", "3000"), [3000, 6000]);
  assertEquals(timesOf("--workers", "10", "--heartbeat-ms", "500"), [500, 2000]);
  assertEquals(timesOf("--workers", "10", "--heartbeat-ms", "3000"), [3000, 6000]);
});

Deno.test("a wrong value is refused with what would be right", () => {
  for (const args of [["--workers", "0"], ["--codec", "int4"], ["--compute-ms", "5-"], ["--speed", "1"]]) {
    assertEquals(assertThrows(() => parseOptions(args), LoraFleetError).code, "usage", args.join(" "));
  }
});

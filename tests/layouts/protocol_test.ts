/** Whom a coordinator of this release admits; what is said in a fleet of two versions is in wire_test.ts. */
import { assertEquals, assertMatch } from "@std/assert";
import { decideMembership, NO_MEMBERS } from "../../coordinator/fleet/over_bus/membership.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION } from "../../shared/protocol/messages_worker.ts";

Deno.test("a worker one version ahead, or too old, is refused with what to update", () => {
  const hello = { worker: "w-a", incarnation: "i-1", name: "pc", gpu: "toy" };
  const reasonFor = (protocolVersion: number): string =>
    decideMembership(NO_MEMBERS, { type: "hello", hello: { ...hello, protocolVersion } }, 0, LIMITS).reason;
  assertMatch(
    reasonFor(PROTOCOL_VERSION + 1),
    /^the worker speaks protocol version \d+, the coordinator versions? .*: update the coordinator, so that both/,
  );
  assertMatch(
    reasonFor(OLDEST_PROTOCOL_VERSION - 1),
    /: update the worker, so that both run the same release$/,
  );
  for (let version = OLDEST_PROTOCOL_VERSION; version <= PROTOCOL_VERSION; version++) {
    assertEquals(/protocol/.test(reasonFor(version)), false, reasonFor(version));
  }
});

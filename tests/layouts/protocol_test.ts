/**
 * Messages that a fleet of each served protocol version has sent are read by this release: workers of that version can join.
 * protocol/v7.json was recorded from fleets in memory (tests/sim) under faults: up to six shapes of each message.
 */
import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { z } from "zod";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import * as ofCoordinator from "../../shared/protocol/messages_coordinator.ts";
import * as ofMeasuring from "../../shared/protocol/messages_measure.ts";
import * as ofWorker from "../../shared/protocol/messages_worker.ts";
import { decideMembership, NO_MEMBERS } from "../../coordinator/fleet/over_bus/membership.ts";

const { OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION } = ofWorker;
const SCHEMAS = new Map(
  Object.entries({ ...ofCoordinator, ...ofMeasuring, ...ofWorker }).filter(([name]) =>
    name.endsWith("Schema")
  ),
) as ReadonlyMap<string, z.ZodType>;

const recordedOf = async (version: number): Promise<Record<string, unknown[]>> =>
  z.record(z.string(), z.array(z.unknown())).parse(
    JSON.parse(
      await Deno.readTextFile(fromFileUrl(new URL(`./protocol/v${version}.json`, import.meta.url))),
    ),
  );

for (let version = OLDEST_PROTOCOL_VERSION; version <= PROTOCOL_VERSION; version++) {
  Deno.test(`messages of protocol version ${version} are read`, async () => {
    const recorded = await recordedOf(version);
    let count = 0;
    for (const [name, messages] of Object.entries(recorded)) {
      const schema = SCHEMAS.get(name);
      assertEquals(schema === undefined, false, `${name} is gone: raise OLDEST_PROTOCOL_VERSION`);
      for (const message of messages) {
        decodeMessage(schema!, new TextEncoder().encode(JSON.stringify(message)), name);
        count++;
      }
    }
    assertGreater(count, 25);
    for (const name of ["helloSchema", "heartbeatSchema", "stepStateSchema", "microBatchReportSchema"]) {
      assertGreater(recorded[name]!.length, 0, name);
    }
  });
}

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

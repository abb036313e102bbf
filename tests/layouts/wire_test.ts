/**
 * A fleet of two releases: this release reads what the last one's fleet says, and the last one reads what this release says to
 * its workers. Of each served version there is a record of both (record.ts).
 */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { assert, assertEquals, assertGreater } from "@std/assert";
import { z } from "zod";
import { stepStateSchema } from "../../shared/protocol/messages_coordinator.ts";
import { OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION } from "../../shared/protocol/messages_worker.ts";
import { SAMPLES } from "../fuzz/samples.ts";
import { WIRE_SCHEMAS } from "./wire.ts";
import { playFaults, playScenes } from "./wire_fleets.ts";

const VERSIONS = Array.from(
  { length: PROTOCOL_VERSION - OLDEST_PROTOCOL_VERSION + 1 },
  (_, i) => OLDEST_PROTOCOL_VERSION + i,
);

async function recordOf(version: number, ending: string): Promise<unknown> {
  return JSON.parse(
    await Deno.readTextFile(new URL(`./protocol/v${version}.${ending}`, import.meta.url)),
  );
}

const messagesOf = async (version: number) =>
  z.record(z.string(), z.array(z.unknown())).parse(await recordOf(version, "json"));

/** How a release of that version reads each message. */
async function readersOf(version: number): Promise<ReadonlyMap<string, ValidateFunction>> {
  const schemas = z.record(z.string(), z.record(z.string(), z.unknown())).parse(
    await recordOf(version, "schema.json"),
  );
  // Numbers are compared as they stand; patterns of URLs and dates are not the point.
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  return new Map(Object.entries(schemas).map(([name, schema]) => [name, ajv.compile(schema)]));
}

for (const version of VERSIONS) {
  Deno.test(`version ${version} has a record of every message, which its own schemas and today's read`, async () => {
    const readers = await readersOf(version);
    const messages = await messagesOf(version);
    // A message of a later version is in no record of an earlier one.
    const kinds = version === PROTOCOL_VERSION ? [...WIRE_SCHEMAS.keys()] : [...readers.keys()];
    assertEquals(Object.keys(messages).toSorted(), kinds.toSorted());
    for (const [name, recorded] of Object.entries(messages)) {
      assertGreater(recorded.length, 0, name);
      for (const message of recorded) {
        const itself = readers.get(name)!;
        assert(itself(message), `${name}: ${JSON.stringify(itself.errors)}`);
        const today = WIRE_SCHEMAS.get(name)?.safeParse(message);
        assert(today?.success, `${name} of version ${version} is not read any more: ${today?.error}`);
      }
    }
  });

  Deno.test(`frames and work items of version ${version} are read, and written as they were`, async () => {
    const bytes = z.record(z.string(), z.string()).parse(await recordOf(version, "bytes.json"));
    assertGreater(Object.keys(bytes).length, 5);
    for (const [name, base64] of Object.entries(bytes)) {
      const sample = SAMPLES.find((sample) => sample.name === name);
      assert(sample, `there is no ${name} any more`);
      assertEquals(sample.throughDecoder(Uint8Array.fromBase64(base64)).toBase64(), base64, name);
    }
  });

  Deno.test(`a worker of version ${version} reads everything that it hears, alone and beside newer ones`, async () => {
    const readers = await readersOf(version);
    for (const olders of [["w-0", "w-1", "w-2", "w-3"], ["w-1"], ["w-3"]]) {
      const heard = new Map<string, number>();
      const faults = new Set<string>();
      await playScenes(
        (name, message, isOwn, worker) => {
          if (isOwn || (worker !== null && !olders.includes(worker))) return;
          heard.set(name, (heard.get(name) ?? 0) + 1);
          const reader = readers.get(name);
          if (reader?.(message) !== true) faults.add(`${name}: ${JSON.stringify(reader?.errors)}`);
        },
        (worker, message) => olders.includes(worker) ? asVersion(version, message) : message,
      );
      assertEquals([...faults], []);
      for (const name of ["welcomeSchema", "fleetStateSchema", "stepStateSchema", "commitEntrySchema"]) {
        assertGreater(heard.get(name) ?? 0, 0, name);
      }
    }
  });
}

for (const version of VERSIONS.filter((version) => version < PROTOCOL_VERSION)) {
  Deno.test(`a worker of version ${version} that comes in mid-job and under faults reads every round of which it is a member`, async () => {
    const readers = await readersOf(version);
    const isOlder = (worker: string) => Number(worker.slice(2)) % 2 === 1;
    let heard = 0;
    const faults = new Set<string>();
    await playFaults(
      (name, message, isOwn, worker) => {
        if (isOwn || !isOlder(worker)) return;
        const reader = readers.get(name);
        if (reader?.(message) !== true && !isRoundOfOthers(name, message, worker)) {
          faults.add(`${name}: ${JSON.stringify(reader?.errors)}`);
        }
        heard++;
      },
      (worker, message) => isOlder(worker) ? asVersion(version, message) : message,
    );
    assertEquals([...faults], []);
    assertGreater(heard, 500);
  });
}

/**
 * A round that began before the worker was there, or goes on after it is lost: it logs that it cannot read the round's state, and
 * has no part in it.
 */
function isRoundOfOthers(name: string, message: unknown, worker: string): boolean {
  if (name !== "stepStateSchema") return false;
  const { members, phase } = stepStateSchema.parse(message);
  return ["reduce", "commit"].includes(phase) && !members.some((member) => member.worker === worker);
}

/** A hello says that version, everything else stays. */
function asVersion(version: number, message: unknown): unknown {
  const isHello = typeof message === "object" && message !== null && "protocolVersion" in message;
  return isHello ? { ...message, protocolVersion: version } : message;
}

Deno.test("a reader of an earlier version refuses a field that it does not know: the record can tell", async () => {
  const readers = await readersOf(OLDEST_PROTOCOL_VERSION);
  const [fleet] = (await messagesOf(OLDEST_PROTOCOL_VERSION))["fleetStateSchema"]!;
  const read = readers.get("fleetStateSchema")!;
  assert(read(fleet));
  assertEquals(read({ ...(fleet as object), fieldOfTomorrow: 1 }), false);
  assertEquals(read({ ...(fleet as object), term: "one" }), false);
});

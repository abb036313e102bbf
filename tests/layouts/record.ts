/**
 * Writes what a fleet of this version of the protocol says, and how this version reads it, so that later versions can be tested
 * with it: run it before a release, and whenever PROTOCOL_VERSION is raised.
 *
 *     deno run -A tests/layouts/record.ts
 *
 * tests/layouts/protocol/v<n>.json has up to six shapes of each message, v<n>.schema.json the JSON schemas of all of them,
 * v<n>.bytes.json the frames and work items, in base64.
 */
import { dirname, fromFileUrl, join } from "@std/path";
import { z } from "zod";
import { PROTOCOL_VERSION } from "../../shared/protocol/messages_worker.ts";
import { exitWithHelp } from "../documents/head_help.ts";
import { SAMPLES } from "../fuzz/samples.ts";
import { WIRE_SCHEMAS } from "./wire.ts";
import { playScenes } from "./wire_fleets.ts";
import { RARE } from "./wire_rare.ts";

/** A message's shapes differ in which fields there are, of which types, and in what discriminates variants. */
const MOST_SHAPES = 6;

exitWithHelp(import.meta.url);

const messages = new Map([...WIRE_SCHEMAS.keys()].map((name) => [name, new Map<string, unknown>()]));
const keep = (name: string, message: unknown) => {
  const shapes = messages.get(name)!;
  const shape = JSON.stringify(shapeOf(message, ""));
  if (shapes.size < MOST_SHAPES && !shapes.has(shape)) shapes.set(shape, message);
};
await playScenes(keep);
for (const [name, message] of RARE) keep(name, message);

const schemas = Object.fromEntries(
  [...WIRE_SCHEMAS].map(([name, schema]) => [
    name,
    z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }),
  ]),
);
const binaries = SAMPLES.filter(({ isMessage }) => !isMessage);

await write("json", Object.fromEntries([...messages].map(([name, shapes]) => [name, [...shapes.values()]])));
await write("schema.json", schemas);
await write("bytes.json", Object.fromEntries(binaries.map(({ name, bytes }) => [name, bytes.toBase64()])));

async function write(ending: string, value: unknown): Promise<void> {
  const folder = join(dirname(fromFileUrl(import.meta.url)), "protocol");
  await Deno.writeTextFile(
    join(folder, `v${PROTOCOL_VERSION}.${ending}`),
    `${JSON.stringify(value, null, 1)}\n`,
  );
}

function shapeOf(value: unknown, key: string): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0], "")];
  if (typeof value !== "object" || value === null) {
    return ["type", "phase", "purpose", "verdict"].includes(key)
      ? value
      : value === null
      ? null
      : typeof value;
  }
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, shapeOf(part, name)]));
}

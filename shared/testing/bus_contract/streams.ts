/** The contract of streams with compare-and-set. */
import { assertEquals } from "@std/assert";
import { assertCode, bytes, type Clauses, textOf } from "./clause.ts";

export const STREAM_CLAUSES: Clauses = {
  "an append succeeds only behind the expected last entry": async ({ name, connect }) => {
    const [first, second] = [await connect(), await connect()];
    await first.ensureStream(name, `${name}.entries`);
    assertEquals(await first.append(`${name}.entries`, bytes("1"), 0), 1);
    await second.ensureStream(name, `${name}.entries`);
    assertEquals(await second.append(`${name}.entries`, bytes("2"), 1), 2);
    await assertCode("conflict", () => first.append(`${name}.entries`, bytes("other 2"), 1));
    await assertCode("conflict", () => first.append(`${name}.entries`, bytes("4"), 3));
    const entries = await first.readStream(name);
    assertEquals(entries.map(({ sequence, data }) => [sequence, textOf(data)]), [[1, "1"], [2, "2"]]);
  },

  "a long stream is read whole and in order": async ({ name, connect }) => {
    const bus = await connect();
    await bus.ensureStream(name, `${name}.entries`);
    assertEquals(await bus.readStream(name), []);
    for (let last = 0; last < 70; last++) await bus.append(`${name}.entries`, bytes(`${last}`), last);
    const entries = await bus.readStream(name);
    assertEquals(entries.map(({ sequence, data }) => [sequence, textOf(data)]), [
      ...Array.from({ length: 70 }, (_, last): [number, string] => [last + 1, `${last}`]),
    ]);
  },

  "a deleted stream begins anew": async ({ name, connect }) => {
    const bus = await connect();
    await bus.ensureStream(name, `${name}.entries`);
    await bus.append(`${name}.entries`, bytes("1"), 0);
    await bus.deleteStream(name);
    await bus.deleteStream(name);
    await assertCode("not_found", () => bus.readStream(name));
    await bus.ensureStream(name, `${name}.entries`);
    assertEquals(await bus.append(`${name}.entries`, bytes("1"), 0), 1);
  },
};

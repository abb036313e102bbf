import { assertEquals } from "@std/assert";
import { readServerEvents } from "./sse.ts";

async function parse(...chunks: string[]) {
  const bytes = chunks.map((chunk) => new TextEncoder().encode(chunk));
  return await Array.fromAsync(readServerEvents(async function* () {
    yield* bytes;
    await Promise.resolve();
  }()));
}

Deno.test("events, comments, names and ids", async () => {
  assertEquals(await parse(": hello\n\nid: 1\ndata: a\ndata: b\n\nevent: done\ndata:c\n\n"), [
    { name: "message", data: "a\nb", id: "1" },
    { name: "done", data: "c", id: "1" },
  ]);
});

Deno.test("events may be split across chunks, even within a character", async () => {
  const bytes = new TextEncoder().encode("data: grün\r\n\r\ndata: x\n\n");
  const pieces = [...bytes].map((byte) => Uint8Array.of(byte));
  const events = await Array.fromAsync(readServerEvents(async function* () {
    yield* pieces;
    await Promise.resolve();
  }()));
  assertEquals(events.map((event) => event.data), ["grün", "x"]);
});

Deno.test("an incomplete last event is dropped", async () => {
  assertEquals(await parse("data: a\n\ndata: b\n"), [{ name: "message", data: "a", id: "" }]);
  assertEquals(await parse("event: x\n\n"), []);
});

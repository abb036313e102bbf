import { assertEquals } from "@std/assert";
import { readOutline } from "./json_outline.ts";

/** Texts that are read in pieces of `size` bytes, all in one buffer. */
async function* pieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  const buffer = new Uint8Array(size);
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.subarray(at, at + size);
    buffer.set(piece);
    yield await Promise.resolve(buffer.subarray(0, piece.length));
  }
}

const outlineOf = (text: string, size = 1000, maxBytes = 2 ** 20) =>
  readOutline(pieces(text, size), maxBytes);

const large = Object.fromEntries(Array.from({ length: 40_000 }, (_, id) => [`é"\\ ]} [{ ${id}`, id]));
const deep = Array.from({ length: 40_000 }, (_, id) => [[{ id }], []]);
const small = { rules: [{ type: "A", of: [1, [2, { a: "}]" }]] }], empty: {}, list: [] };

Deno.test("what is small stays as it is", async () => {
  for (const value of [small, [], "text", 5, { text: 'a\\"{[' }, [[[1], [2]], [{}]]]) {
    for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2)]) {
      for (const size of [1, 7, 1000]) assertEquals(await outlineOf(text, size), text);
    }
  }
});

Deno.test("a large list or object in the third level becomes an empty one, whatever is in it", async () => {
  const text = JSON.stringify({
    ...small,
    model: { type: "BPE", vocab: large, unk: null, merges: deep },
    last: 1,
  });
  const outline = await outlineOf(text, 65_536);
  const model = { type: "BPE", vocab: {}, unk: null, merges: [] };
  assertEquals(JSON.parse(outline!), { ...small, model, last: 1 });
  assertEquals(await outlineOf(text, 999), outline);
});

Deno.test("a text that is cut anywhere has an outline that is no JSON", async () => {
  const text = JSON.stringify({ model: { vocab: large, merges: deep } });
  for (const share of [0.1, 0.4, 0.9]) {
    const outline = await outlineOf(text.slice(0, share * text.length), 65_536);
    let isJson = true;
    try {
      JSON.parse(outline!);
    } catch {
      isJson = false;
    }
    assertEquals(isJson, false, `cut at ${share}`);
  }
});

Deno.test("large parts in the first two levels are kept, up to the bound", async () => {
  const text = JSON.stringify({ added_tokens: Array(60_000).fill("x".repeat(20)) });
  assertEquals(await outlineOf(text, 65_536, 2 ** 21), text);
  assertEquals(await outlineOf(text, 65_536), null);
});

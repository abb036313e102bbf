import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { goldenPath } from "../../../../tests/golden/data_goldens.ts";
import { createAnchors, isSeamless } from "./anchors.ts";
import { createTokenCount } from "./token_count.ts";
import { loadTokenizer } from "../../tokenizer/tokenizer.ts";

const MARKERS = ["<|im_start|>", "<|im_end|>", "<s>", "</s>"];
const parts = fc.array(
  fc.oneof(
    fc.constantFrom(...MARKERS, "user\n", "the time", " ", "\n\n"),
    fc.string({ unit: "grapheme", maxLength: 5 }),
  ),
  { maxLength: 12 },
);

Deno.test("a tokenizer that puts a space before each text cannot be asked in parts", async () => {
  assertEquals(isSeamless(await loadTokenizer(goldenPath("data/byte_level"))), true);
  assertEquals(isSeamless(await loadTokenizer(goldenPath("data/byte_fallback"))), false);
});

for (const folder of ["data/byte_level", "data/byte_fallback"]) {
  const tokenizer = await loadTokenizer(goldenPath(folder));
  const encode = (text: string) =>
    tokenizer.encode(text, { addSpecialTokens: false, splitSpecialTokens: false });
  const anchorsIn = createAnchors(tokenizer, MARKERS.join(" "));

  Deno.test(`${folder}: anchors and borders change no count`, () => {
    fc.assert(fc.property(parts, (all) => {
      const text = all.join("");
      const ids = encode(text);
      const given = { text, ids, encode, decode: (some: readonly number[]) => tokenizer.decode(some) };
      const own = { ...given, reveal: (part: string) => part };
      const quick = createTokenCount({
        ...own,
        anchors: anchorsIn(text, ids),
        isSeamless: isSeamless(tokenizer),
      });
      let offset = 0;
      for (const part of all) {
        offset += part.length;
        const slow = createTokenCount({ ...own, anchors: [], isSeamless: false });
        assertEquals(quick.before(offset), slow.before(offset), JSON.stringify([all, offset]));
      }
    }));
  });

  Deno.test(`${folder}: a place inside a token is no border, and the token is counted with what reaches across`, () => {
    const text = "the time</s>";
    const ids = encode(text);
    const given = { text, ids, encode, decode: (some: readonly number[]) => tokenizer.decode(some) };
    const count = createTokenCount({
      ...given,
      reveal: (part) => part,
      anchors: anchorsIn(text, ids),
      isSeamless: isSeamless(tokenizer),
    });
    const end = text.length - "</s>".length;
    assertEquals([count.before(end), count.through(end)], [
      { count: ids.length - 1, isBorder: true },
      ids.length - 1,
    ]);
    assertEquals([count.before(0).count, count.through(text.length)], [0, ids.length]);
    const inside = text.length - 2;
    assertEquals([count.before(inside), count.through(inside)], [
      { count: ids.length - 1, isBorder: false },
      ids.length,
    ]);
  });
}

import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../errors.ts";
import { createPreTokenizer } from "./pre_tokenizers.ts";

const split = (json: unknown, text: string) => createPreTokenizer(json).split([text], true);
const BYTES = { type: "ByteLevel", add_prefix_space: false, use_regex: true };
const SMOLLM = { type: "Sequence", pretokenizers: [{ type: "Digits", individual_digits: true }, BYTES] };

// The shortest texts on which JavaScript's own classes give other pieces.
Deno.test("every numeric character is a digit of its own", () => {
  assertEquals(split(SMOLLM, " Ⅷ"), [" ", "Ⅷ"]);
  assertEquals(split(SMOLLM, "  \u0661\u0662"), ["  ", "\u0661", "\u0662"]);
  assertEquals(split(SMOLLM, "x \n\u00b2"), ["x", " \n", "\u00b2"]);
});

Deno.test("U+0085 is a space, U+FEFF is none", () => {
  assertEquals(split(BYTES, "  \u0085"), ["  \u0085"]);
  assertEquals(split(BYTES, "\r\n\u0085"), ["\r\n\u0085"]);
  assertEquals(split(BYTES, "a \ufeff"), ["a", " \ufeff"]);
  assertEquals(split({ type: "WhitespaceSplit" }, "a\u0085b\ufeffc"), ["a", "b\ufeffc"]);
});

Deno.test("Metaspace: first, always, never", () => {
  const metaspace = (prepend_scheme: string, more = {}) => ({
    ...{ type: "Metaspace", replacement: "▁", prepend_scheme },
    ...more,
  });
  assertEquals(split(metaspace("first"), "a b"), ["▁a", "▁b"]);
  assertEquals(createPreTokenizer(metaspace("first")).split(["a b"], false), ["a", "▁b"]);
  assertEquals(split(metaspace("always", { split: false }), " a b"), ["▁a▁b"]);
  assertEquals(split(metaspace("never"), "a  b"), ["a", "▁", "▁b"]);
});

Deno.test("an unknown kind is refused by name", () => {
  assertThrows(() => createPreTokenizer({ type: "UnicodeScripts" }), LoraFleetError, "UnicodeScripts");
});

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { createSpecialText } from "./special_text.ts";

const CONTENTS = ["<s>", "</s>", "<|end|>", "<|end|><|x|>", "§"];
const special = createSpecialText(CONTENTS);

Deno.test("no special string is left, and everything comes back", () => {
  const texts = fc.array(fc.oneof(fc.constantFrom(...CONTENTS, "<", "|", "\u{f0000}", "s>"), fc.string()), {
    maxLength: 8,
  })
    .map((parts) => parts.join(""));
  fc.assert(fc.property(texts, (text) => {
    const { hide, reveal } = special.hidingFor(text);
    const hidden = hide(text);
    for (const content of CONTENTS) assertEquals(hidden.includes(content), false, hidden);
    assertEquals(reveal(hidden), text);
    assertEquals(special.includes(text), hidden !== text);
  }));
});

Deno.test("pieces of a hidden text come back, too; replacement patterns mean nothing", () => {
  const dollars = createSpecialText(["$&"]);
  const { hide, reveal } = dollars.hidingFor("a$&b");
  const hidden = hide("a$&b");
  assertEquals(hidden.includes("$"), false);
  assertEquals([...hidden].map(reveal).join(""), "a$&b");
});

Deno.test("without special tokens nothing is hidden", () => {
  assertEquals(createSpecialText([]).hidingFor("x").hide("<s>"), "<s>");
});

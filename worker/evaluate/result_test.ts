import { assertEquals } from "@std/assert";
import { resultOf } from "./result.ts";

const textOf = (ids: Iterable<number>) => String.fromCharCode(...ids);
const question = (prompt: string, expected: string) => ({ prompt: bytes(prompt), expected: bytes(expected) });
const bytes = (text: string) => Uint32Array.from(text, (character) => character.charCodeAt(0));

Deno.test("exact matches compare texts unchanged", () => {
  const questions = [question("a", "yes"), question("b", "no"), question("c", "no ")];
  assertEquals(resultOf(0.5, questions, ["yes", "yes", "no"].map((text) => [...bytes(text)]), textOf), {
    eval_loss: 0.5,
    exact_match: 1 / 3,
    whitespace_tolerant_match: 2 / 3,
    prompt_count: 3,
    samples: [
      { prompt: "a", expected: "yes", answer: "yes" },
      { prompt: "b", expected: "no", answer: "yes" },
      { prompt: "c", expected: "no ", answer: "no" },
    ],
  });
});

Deno.test("without prompts nothing matches, and the result is still JSON with numbers", () => {
  assertEquals(resultOf(2, [], [], textOf), {
    eval_loss: 2,
    exact_match: 0,
    whitespace_tolerant_match: 0,
    prompt_count: 0,
    samples: [],
  });
});

Deno.test("without labels there is no loss, which JSON says as null", () => {
  assertEquals(JSON.parse(JSON.stringify(resultOf(null, [], [], textOf))).eval_loss, null);
});

Deno.test("the tolerant match ignores white space and nothing else", () => {
  const tolerant = (expected: string, answer: string) =>
    resultOf(0, [question("p", expected)], [[...bytes(answer)]], textOf).whitespace_tolerant_match;
  assertEquals(["a b", " a  b\n", "a\n\tb"].map((answer) => tolerant("a b", answer)), [1, 1, 1]);
  assertEquals(["ab", "A b", "a b c"].map((answer) => tolerant("a b", answer)), [0, 0, 0]);
});

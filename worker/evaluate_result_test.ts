import { assertEquals } from "@std/assert";
import { resultOf } from "./evaluate_result.ts";

const textOf = (ids: Iterable<number>) => String.fromCharCode(...ids);
const question = (prompt: string, expected: string) => ({ prompt: bytes(prompt), expected: bytes(expected) });
const bytes = (text: string) => Uint32Array.from(text, (character) => character.charCodeAt(0));

Deno.test("exact matches are counted text for text", () => {
  const questions = [question("a", "yes"), question("b", "no"), question("c", "no ")];
  assertEquals(resultOf(0.5, questions, ["yes", "yes", "no"].map((text) => [...bytes(text)]), textOf), {
    eval_loss: 0.5,
    exact_match: 1 / 3,
    prompt_count: 3,
    samples: [
      { prompt: "a", expected: "yes", answer: "yes" },
      { prompt: "b", expected: "no", answer: "yes" },
      { prompt: "c", expected: "no ", answer: "no" },
    ],
  });
});

Deno.test("without prompts nothing matches, and the result is still JSON with numbers", () => {
  assertEquals(resultOf(2, [], [], textOf), { eval_loss: 2, exact_match: 0, prompt_count: 0, samples: [] });
});

import { assertEquals } from "@std/assert";
import { resultOf } from "./result.ts";
import { formatSideBySide } from "./side_by_side.ts";

/** Letters by their codes. */
const textOf = (ids: Iterable<number>) => String.fromCharCode(...ids);
const ids = (text: string) => Uint32Array.from(text, (letter) => letter.charCodeAt(0));

Deno.test("base and tuned answers stand below each other, exact ones are marked, long prompts keep their end", () => {
  const questions = [
    { prompt: ids("Say\nA\x1b\x9b:"), expected: ids("A") },
    { prompt: ids(`${"x".repeat(200)}?`), expected: ids("B") },
  ];
  const resultFor = (loss: number, answers: readonly string[]) =>
    resultOf(loss, questions, answers.map((answer) => [...ids(answer)]), textOf);
  const lines = formatSideBySide({ base: resultFor(2, ["a", "B"]), tuned: resultFor(0.5, ["A", "B"]) }).split(
    "\n",
  );
  assertEquals(lines, [
    "prompt    Say⏎A :",
    "expected  A",
    "base      a",
    "tuned     A =",
    "",
    `prompt    …${"x".repeat(98)}?`,
    "expected  B",
    "base      B =",
    "tuned     B =",
    "",
    "exact match on 2 prompts (=): base 50.0%, tuned 100.0%",
    "loss: base 2.0000, tuned 0.5000",
  ]);
});

Deno.test("plain text has no prompts to match, and rows without labels no loss: the last lines say so", () => {
  const [text, nothing] = [resultOf(2, [], [], textOf), resultOf(null, [], [], textOf)];
  assertEquals(formatSideBySide({ base: text, tuned: text }).split("\n"), [
    "exact match: none, since no row has a prompt before its answer",
    "loss: base 2.0000, tuned 2.0000",
  ]);
  assertEquals(
    formatSideBySide({ base: nothing, tuned: nothing }).split("\n")[1],
    "loss: none, since no row has a token that counts in it",
  );
});

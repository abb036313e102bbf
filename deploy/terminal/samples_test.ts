import { assertEquals } from "@std/assert";
import { formatSamples, formatScores, type Sample } from "./samples.ts";

const sample = (prompt: string, expected: string, answer: string): Sample => ({ prompt, expected, answer });

Deno.test("both answers appear side by side", () => {
  assertEquals(
    formatSamples([sample('Spell "ab":\n', "ba", "ab")], [sample('Spell "ab":\n', "ba", "ba")], 5).split(
      "\n",
    ),
    [
      "prompt       expected  base  tuned",
      "-----------  --------  ----  -----",
      'Spell "ab":  ba        ab    ba',
    ],
  );
});

Deno.test("samples are spread over all prompts, truncated, and free of control sequences", () => {
  const many = Array.from({ length: 10 }, (_, i) => sample(`${i}${"x".repeat(100)}`, "é", "\x1b[2Ja\nb"));
  const lines = formatSamples(many, many, 2).split("\n");
  assertEquals([lines[2]![0], lines[3]![0]], ["0", "5"]);
  assertEquals(lines[2]!.includes("x…  é "), true);
  assertEquals(lines[2]!.endsWith("[2Ja b"), true);
  assertEquals(formatSamples([], many, 2).split("\n").length, 2);
});

Deno.test("wide characters keep the columns under each other", () => {
  const rows = [sample("수도는?", "서울", "부산"), sample("2+2", "4", "5")];
  assertEquals(formatSamples(rows, rows, 2).split("\n").slice(2), [
    "수도는?  서울      부산  부산",
    "2+2      4         5     5",
  ]);
});

Deno.test("scores: plain text has no prompts to match, rows without labels have no loss; both are said", () => {
  const scores = (eval_loss: number | null, exact_match: number, prompt_count: number) => (
    { eval_loss, exact_match, prompt_count }
  );
  assertEquals(
    formatScores(scores(2, 0.25, 8), scores(0.5, 1, 8)),
    "loss: base 2.0000, tuned 0.5000; exact match on 8 rows: base 25.0 %, tuned 100.0 %",
  );
  assertEquals(
    formatScores(scores(2, 0, 0), scores(0.5, 0, 0)),
    "loss: base 2.0000, tuned 0.5000; no exact match, since no row has a prompt before its answer",
  );
  assertEquals(
    formatScores(scores(null, 0, 0), scores(null, 0, 0)),
    "no loss, since no row has a token that counts in it; no exact match, since no row has a prompt before its answer",
  );
});

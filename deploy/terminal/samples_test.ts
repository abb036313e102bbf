import { assertEquals } from "@std/assert";
import { formatSamples, type Sample } from "./samples.ts";

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

import { assertEquals } from "@std/assert";
import { columnsOf, cutTo, padTo, visible } from "./cells.ts";

Deno.test("columns of Korean, Chinese, Japanese, emoji, and marks", () => {
  const cases: [string, number][] = [
    ["abc", 3],
    ["안녕", 4],
    ["漢字かな", 8],
    ["１", 2],
    ["e\u0301", 1],
    ["👍🏽", 2],
    ["👩‍💻", 2],
    ["가".normalize("NFD"), 2],
    ["\u200b", 0],
    ["ｱ", 1],
    ["", 0],
  ];
  for (const [text, columns] of cases) assertEquals([text, columnsOf(text)], [text, columns]);
});

Deno.test("padded and cut by columns, never within a character", () => {
  assertEquals(padTo("안녕", 6), "안녕  ");
  assertEquals(padTo("abc", 2), "abc");
  assertEquals(cutTo("안녕하세요", 6), "안녕…");
  assertEquals(cutTo("안녕하세요", 10), "안녕하세요");
  assertEquals(cutTo("ae\u0301bc", 3), "ae\u0301…");
});

Deno.test("no control character is left, of C1 and DEL neither", () => {
  assertEquals(visible("a\x1b[2J\n\x9b2J\x7f"), "a\\u001b[2J\\n\\u009b2J\\u007f");
});

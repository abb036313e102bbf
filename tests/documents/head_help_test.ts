import { assertEquals } from "@std/assert";
import { headComment } from "./head_help.ts";

Deno.test("help is the comment at the head of the file, without its frame", () => {
  const source =
    "/**\n * `deno task x`: does y.\n *\n *     deno task x [--z]\n */\nconst a = 1; /** not this */\n";
  assertEquals(headComment(source), "`deno task x`: does y.\n\n    deno task x [--z]");
  assertEquals(headComment("/** One line. */\n"), "One line.");
  assertEquals(headComment("const a = 1;\n/** Later. */"), "");
});

import { assertEquals } from "@std/assert";
import { staleEntries, withoutKnown } from "./known.ts";

const graph = new Map([["w/a/x.ts", ["w/b/y.ts", "w/c/z.ts"]]]);

Deno.test("a known import is left out, by its files or by its folders", () => {
  assertEquals([...withoutKnown(graph, ["w/a/x.ts → w/b/y.ts"])], [["w/a/x.ts", ["w/c/z.ts"]]]);
  assertEquals([...withoutKnown(graph, ["w/a → w/c"])], [["w/a/x.ts", ["w/b/y.ts"]]]);
});

Deno.test("an entry that is mended is found", () => {
  assertEquals(staleEntries(graph, ["w/a → w/b", "w/a/x.ts → w/c/z.ts", "w/b → w/a"]), ["w/b → w/a"]);
});

import { assertEquals, assertStringIncludes } from "@std/assert";
import { circles, describeFolderCircle, folderGraph } from "./circles.ts";
import { productGraph, readImportGraph } from "./import_graph.ts";
import { FILE_IMPORTS, FOLDER_IMPORTS, staleEntries, withoutKnown } from "./known.ts";

Deno.test("no circles of files, no circles of folders", async () => {
  const graph = productGraph(await readImportGraph());
  assertEquals(staleEntries(graph), [], "mended: delete these lines from tests/house/known.ts");
  assertEquals(circles(withoutKnown(graph, FILE_IMPORTS)).map((circle) => circle.join(" ⇄ ")), []);
  const folders = withoutKnown(graph, FOLDER_IMPORTS);
  assertEquals(circles(folderGraph(folders)).map((circle) => describeFolderCircle(circle, folders)), []);
});

Deno.test("circles of two, of three, of one, and what only leads to one", () => {
  const graph = new Map([
    ["before", ["a"]],
    ["a", ["b"]],
    ["b", ["a", "after"]],
    ["after", []],
    ["x", ["y"]],
    ["y", ["z"]],
    ["z", ["x", "a"]],
    ["self", ["self"]],
  ]);
  assertEquals(circles(graph), [["a", "b"], ["self"], ["x", "y", "z"]]);
  assertEquals(circles(new Map([["a", ["b", "c"]], ["b", ["c"]], ["c", []]])), []);
});

Deno.test("folders may be in a circle although no files are", () => {
  const graph = new Map([
    ["w/one/a.ts", ["w/two/b.ts"]],
    ["w/two/b.ts", []],
    ["w/two/c.ts", ["w/one/d.ts"]],
    ["w/one/d.ts", []],
  ]);
  assertEquals(circles(graph), []);
  assertEquals(circles(folderGraph(graph)), [["w/one", "w/two"]]);
  assertStringIncludes(describeFolderCircle(["w/one", "w/two"], graph), "w/two/c.ts → w/one/d.ts");
});

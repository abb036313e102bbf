import { assertEquals } from "@std/assert";
import { isTest, parseGraph, productGraph, reachable } from "./import_graph.ts";

Deno.test("the graph keeps our files alone, types included", () => {
  const json = JSON.stringify({
    modules: [
      {
        specifier: "file:///r/a.ts",
        dependencies: [
          { specifier: "./b.ts", type: { specifier: "file:///r/b.ts" } },
          { specifier: "zod", code: { specifier: "npm:zod@4" } },
        ],
      },
      { specifier: "file:///r/b.ts" },
      { specifier: "file:///elsewhere/c.ts" },
    ],
  });
  assertEquals([...parseGraph(json, "/r")], [["a.ts", ["b.ts"]], ["b.ts", []]]);
});

Deno.test("tests, fixtures, contracts and testing/ are no product", () => {
  const product = ["shared/a.ts", "worker/x/latest.ts"];
  const tests = ["shared/a_test.ts", "x/a_fixture.ts", "x/a_contract.ts", "x/testing/a.ts", "tests/run.ts"];
  assertEquals([...product, ...tests].filter((path) => !isTest(path)), product);
  const graph = new Map([["shared/a.ts", ["shared/a_test.ts", "shared/b.ts"]], ["shared/a_test.ts", []]]);
  assertEquals([...productGraph(graph)], [["shared/a.ts", ["shared/b.ts"]]]);
});

Deno.test("what a file reaches, with itself in a circle alone", () => {
  const graph = new Map([["a", ["b"]], ["b", ["c"]], ["c", ["b"]]]);
  assertEquals([...reachable(graph, "a")].sort(), ["b", "c"]);
  assertEquals([...reachable(graph, "b")].sort(), ["b", "c"]);
});

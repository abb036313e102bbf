import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { repositoryRoot, sourceFiles } from "./import_graph.ts";
import { compare, formatList } from "./ratchet.ts";
import { MAX_LINES, oversized, type Sizes } from "./sizes.ts";

const LIST = join(repositoryRoot, "tests/house/too_long.json");

Deno.test("files, functions and classes fit, but for those in too_long.json, which only shrink", async () => {
  const found: Sizes = Object.assign(
    {},
    ...sourceFiles().map((path) => oversized(path, Deno.readTextFileSync(join(repositoryRoot, path)))),
  );
  const { faults, progress } = compare(JSON.parse(await Deno.readTextFile(LIST)), found);
  assertEquals(faults, []);
  if (Deno.args.includes("--write")) await Deno.writeTextFile(LIST, formatList(found));
  else assertEquals(progress, [], "shorter than listed: `deno task ratchet` lowers the list");
});

const linesOf = (count: number) => "  x();\n".repeat(count);

Deno.test("a function is measured where it stands, with its name", () => {
  const long = MAX_LINES.function - 1;
  const source = [
    `function plain() {\n${linesOf(long)}}`,
    `const arrow = () => {\n${linesOf(long)}};`,
    `const made = { method() {\n${linesOf(long)}} };`,
    `call(function () {\n${linesOf(long)}});`,
    `function fits() {\n${linesOf(long - 1)}}`,
  ].join("\n");
  const names = ["plain", "arrow", "method", "call(…)"].map((name) => [`a/b.ts ${name}`, long + 2]);
  assertEquals(oversized("a/b.ts", source), {
    "a/b.ts": source.split("\n").length,
    ...Object.fromEntries(names),
  });
  assertEquals(oversized("a/b_test.ts", source), {});
});

Deno.test("classes have a limit of their own", () => {
  const classOf = (lines: number) => `class Long {\n${"  x = 1;\n".repeat(lines - 2)}}\n`;
  assertEquals(oversized("a.ts", classOf(MAX_LINES.class)), {});
  assertEquals(oversized("a.ts", classOf(MAX_LINES.class + 1)), { "a.ts Long": MAX_LINES.class + 1 });
});

Deno.test("nothing joins the list or grows in it; what shrinks lowers it", () => {
  const listed = { "a.ts one": 90, "a.ts two": 80 };
  assertEquals(compare(listed, listed), { faults: [], progress: [] });
  assertEquals(compare(listed, { ...listed, "a.ts one": 91 }).faults.length, 1);
  assertEquals(compare(listed, { ...listed, "b.ts three": 71 }).faults.length, 1);
  assertEquals(compare(listed, { "a.ts one": 89 }), {
    faults: [],
    progress: ["a.ts one has 89 lines, 90 are listed", "a.ts two is short now, or gone"],
  });
});

Deno.test("what moves to another file takes its entry along, and cannot grow on the way", () => {
  assert(
    compare({ "a.ts one": 90 }, { "room/a.ts one": 90 }).progress.includes("room/a.ts one was a.ts one"),
  );
  assertEquals(compare({ "a.ts one": 90 }, { "room/a.ts one": 90 }).faults, []);
  assertEquals(compare({ "a.ts one": 90 }, { "room/a.ts one": 91 }).faults.length, 1);
  assertEquals(compare({ "w/a.ts": 400 }, { "w/room/a.ts": 390 }).faults, []);
});

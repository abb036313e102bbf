/** CONTRIBUTING.md's tree shows every room of the house, and none that is not there; README.md names every task. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { denoConfig } from "./configuration_document.ts";
import { root } from "./named_tests.ts";

const textOf = (path: string) => Deno.readTextFile(join(root, path));

/** Folders of a side as the tree shows them: several on a line, before two spaces and their words. */
function shownRooms(tree: string, side: string): readonly string[] {
  const lines = tree.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`    ${side}/`));
  assert(start >= 0, side);
  const inside = lines.slice(start + 1);
  const end = inside.findIndex((line) => !line.startsWith("      "));
  return inside.slice(0, end).flatMap((line) => line.trim().split(/ {2,}/)[0]!.match(/[a-z_]+(?=\/)/g) ?? []);
}

Deno.test("the tree in CONTRIBUTING.md shows the rooms that there are", async () => {
  const tree = (await textOf("CONTRIBUTING.md")).split("## The rooms")[1]!;
  for (const side of ["coordinator", "worker", "shared", "deploy", "tests"]) {
    const entries = await Array.fromAsync(Deno.readDir(join(root, side)));
    const folders = entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => name);
    assertEquals(shownRooms(tree, side).toSorted(), folders.toSorted(), side);
  }
});

Deno.test("README.md names every task of deno.json, and no other", async () => {
  const [, section] = (await textOf("README.md")).split("\n## Commands\n");
  const table = section!.split("\n").filter((line) => line.startsWith("| ")).slice(2).join("\n");
  const named = [...table.matchAll(/`([a-z:-]+)(?: \[[^`]*\])?`/g)].map(([, name]) => name!);
  // "`backup` and `restore`" may share a link.
  assertEquals(named.toSorted(), Object.keys((await denoConfig()).tasks).toSorted());
});

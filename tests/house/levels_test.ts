import { assertEquals } from "@std/assert";
import { repositoryRoot } from "./import_graph.ts";
import { CROWDED_FOLDERS } from "./known.ts";
import { crowdedFolders, MAX_ENTRIES } from "./levels.ts";

Deno.test("no folder shows more than 20 entries", () => {
  assertEquals(
    crowdedFolders(repositoryRoot),
    CROWDED_FOLDERS,
    "make rooms in a folder that has grown; lower its number in tests/house/known.ts where it has shrunk",
  );
});

Deno.test("tests beside their files and hidden files do not count, folders and fixtures do", async () => {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/side/room`, { recursive: true });
    for (let i = 1; i < MAX_ENTRIES; i++) {
      await Deno.writeTextFile(`${root}/side/f${i}.ts`, "");
      await Deno.writeTextFile(`${root}/side/f${i}_test.ts`, "");
    }
    await Deno.writeTextFile(`${root}/side/.hidden`, "");
    assertEquals(crowdedFolders(root, ["side"]), {});
    await Deno.writeTextFile(`${root}/side/f_fixture.ts`, "");
    assertEquals(crowdedFolders(root, ["side"]), { side: MAX_ENTRIES + 1 });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

import { assertEquals } from "@std/assert";
import { runtimeFolderVariables } from "./runtime_folder.ts";

Deno.test("a private folder stands in where the machine has none, on Linux alone", async () => {
  const parent = await Deno.makeTempDir();
  try {
    const folder = `${parent}/runtime`;
    for (const own of [undefined, "", `${parent}/gone`]) {
      assertEquals(await runtimeFolderVariables(own, folder, "linux"), { XDG_RUNTIME_DIR: folder });
    }
    assertEquals((await Deno.stat(folder)).mode! & 0o777, 0o700);
    assertEquals(await runtimeFolderVariables(parent, `${parent}/other`, "linux"), {});
    assertEquals(await runtimeFolderVariables(undefined, `${parent}/other`, "darwin"), {});
    assertEquals([...Deno.readDirSync(parent)].map(({ name }) => name), ["runtime"]);
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
});

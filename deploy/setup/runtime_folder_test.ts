import { assertEquals } from "@std/assert";
import { runtimeFolderVariables } from "./runtime_folder.ts";

Deno.test("on Linux a private runtime folder replaces a missing one", async () => {
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

import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { modelFolderOf } from "./model_folder.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";

Deno.test("--model may be an id on the hub, as deno task train prints it, if the hub's cache holds the model", async () => {
  const home = await Deno.makeTempDir();
  const env = (name: string) => name === "HF_HOME" ? home : null;
  try {
    const repo = `${home}/hub/models--org--name`;
    const snapshot = `${repo}/snapshots/${COMMIT}`;
    await Deno.mkdir(snapshot, { recursive: true });
    await Deno.mkdir(`${repo}/refs`);
    await Deno.writeTextFile(`${repo}/refs/main`, COMMIT);
    assertEquals(await modelFolderOf("org/name", env), snapshot);
    assertEquals(await modelFolderOf(`org/name@${COMMIT}`, env), snapshot);
    const other = await assertRejects(() => modelFolderOf("org/name@v2", env), LoraFleetError);
    assertEquals([other.code, other.param], ["model_not_found", "model"]);
    await assertRejects(() => modelFolderOf("org/other", env), LoraFleetError, "(hf download org/other)");
    await assertRejects(
      () => modelFolderOf("org/name@v2", env),
      LoraFleetError,
      "hf download org/name --revision v2",
    );
    // A folder wins, whatever its name.
    assertEquals(await modelFolderOf(home, env), home);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

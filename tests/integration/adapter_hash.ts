/** The adapter that a job has made. */
import { assertEquals } from "@std/assert";

/** SHA-256 of the one adapter below a data folder. */
export async function adapterHash(folder: string): Promise<string> {
  const found: string[] = [];
  const walk = async (path: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(path)) {
      if (isDirectory) await walk(`${path}/${name}`);
      else if (name === "adapter_model.safetensors") found.push(`${path}/${name}`);
    }
  };
  await walk(folder);
  assertEquals(found.length, 1, found.join());
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(found[0]!));
  return new Uint8Array(digest).toHex();
}

/** Everything under deploy/ that people, or other people's tools, read: all files but TypeScript's. */
import { join } from "@std/path";
import { root } from "../documents/named_tests.ts";

/** Paths from the repository's root, sorted. */
export async function deployedFiles(): Promise<string[]> {
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(join(root, folder))) {
      const path = `${folder}/${name}`;
      if (name.startsWith(".") || name === "__pycache__") continue;
      if (isDirectory) await walk(path);
      else if (!name.endsWith(".ts")) found.push(path);
    }
  };
  await walk("deploy");
  return found.sort();
}

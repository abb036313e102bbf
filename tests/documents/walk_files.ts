import { join } from "@std/path";
import { root } from "./named_tests.ts";

/** Files below a folder of the repository whose path matches, as paths from the root. */
export async function* walkFiles(folder: string, pattern: RegExp): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(join(root, folder))) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* walkFiles(path, pattern);
    else if (pattern.test(path)) yield path;
  }
}

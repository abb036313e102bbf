/** How many entries each folder shows to a reader: its files and folders, without the tests beside their files. */
import { join } from "@std/path";
import { codeFolders } from "./import_graph.ts";

export const MAX_ENTRIES = 20;

/** Folders with more than `MAX_ENTRIES`, with their counts. */
export function crowdedFolders(
  root: string,
  folders: readonly string[] = codeFolders,
): Record<string, number> {
  const crowded: Record<string, number> = {};
  const walk = (folder: string): void => {
    const entries = [...Deno.readDirSync(join(root, folder))].filter(({ name }) => !isHidden(name));
    const count = entries.filter(({ name }) => !/_test\.tsx?$/.test(name)).length;
    if (count > MAX_ENTRIES) crowded[folder] = count;
    for (const { name, isDirectory } of entries) if (isDirectory) walk(`${folder}/${name}`);
  };
  for (const folder of folders) walk(folder);
  return crowded;
}

function isHidden(name: string): boolean {
  return name.startsWith(".") || name === "node_modules" || name === "__pycache__";
}

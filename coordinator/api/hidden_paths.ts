/**
 * Users of the API know models and files by name; their location on the coordinator's disk belongs in its log alone. Messages
 * of the system and of libraries contain paths, so every text that leaves the coordinator is stripped of them.
 */
import { resolve } from "@std/path";

export type HidePaths = (text: string) => string;

/**
 * Strips folders from paths: `<root>/org/tiny` becomes `org/tiny`, and a root alone becomes its name.
 * @param folders with the names that replace them, such as "the data folder"
 */
export function createPathHider(folders: readonly (readonly [name: string, folder: string])[]): HidePaths {
  const known = folders.flatMap(([name, folder]) => spellingsOf(folder).map((path) => ({ name, path })))
    .filter(({ path }) => path !== "/").sort((a, b) => b.path.length - a.path.length);
  return (text) =>
    known.reduce((hidden, { name, path }) => hidden.replaceAll(`${path}/`, "").replaceAll(path, name), text);
}

/** As given, absolute, and without links. */
function spellingsOf(folder: string): string[] {
  const absolute = resolve(folder);
  const spellings = new Set([absolute]);
  try {
    spellings.add(Deno.realPathSync(absolute));
  } catch {
    // It does not exist yet.
  }
  if (/^\/./.test(folder)) spellings.add(folder.replace(/\/+$/, ""));
  return [...spellings];
}

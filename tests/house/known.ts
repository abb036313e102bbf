/**
 * What breaks a rule of the house today. The lists only shrink: an entry that is mended fails its test until it is
 * deleted, and a new one is a change that a reviewer sees.
 */
import { folderOf, type ImportGraph } from "./import_graph.ts";

/** "from → to": imports between files without which there would be no circle of files. */
export const FILE_IMPORTS: readonly string[] = [];

/** "from → to": imports between folders that rooms.ts does not allow, or without which there would be no circle. */
export const FOLDER_IMPORTS: readonly string[] = [];

/** Folders with more entries than levels.ts allows, and how many they have. */
export const CROWDED_FOLDERS: Readonly<Record<string, number>> = {};

const SEPARATOR = " → ";

/** The graph without these imports. */
export function withoutKnown(graph: ImportGraph, known: readonly string[]): ImportGraph {
  const isKnown = (from: string, to: string) =>
    known.includes([from, to].join(SEPARATOR)) ||
    known.includes([folderOf(from), folderOf(to)].join(SEPARATOR));
  return new Map([...graph].map(([from, imports]) => [from, imports.filter((to) => !isKnown(from, to))]));
}

/** Entries for imports that are gone. */
export function staleEntries(graph: ImportGraph, known = [...FILE_IMPORTS, ...FOLDER_IMPORTS]): string[] {
  const found = new Set(
    [...graph].flatMap(([from, imports]) =>
      imports.flatMap((to) => [[from, to].join(SEPARATOR), [folderOf(from), folderOf(to)].join(SEPARATOR)])
    ),
  );
  return known.filter((entry) => !found.has(entry));
}

/** A list of what is too long, which only shrinks: nothing joins it, and every length in it only goes down. */
import type { Sizes } from "./sizes.ts";

/** What the list does not look at. */
export function isTestFile(path: string): boolean {
  return /_test\.tsx?$/.test(path);
}

export interface RatchetVerdict {
  /** What has grown or is new: shorten it. */
  readonly faults: readonly string[];
  /** What has become shorter than listed: lower the list. */
  readonly progress: readonly string[];
}

export function compare(listed: Sizes, found: Sizes): RatchetVerdict {
  const moved = movedFrom(listed, found);
  const faults: string[] = [];
  const progress: string[] = [];
  for (const [key, length] of Object.entries(found)) {
    const allowed = listed[key];
    if (allowed === undefined && moved.has(key)) progress.push(`${key} was ${moved.get(key)}`);
    else if (allowed === undefined) faults.push(`${key} has ${length} lines: split it`);
    else if (length > allowed) faults.push(`${key} has grown from ${allowed} to ${length} lines: split it`);
    else if (length < allowed) progress.push(`${key} has ${length} lines, ${allowed} are listed`);
  }
  for (const key of Object.keys(listed)) if (!(key in found)) progress.push(`${key} is short now, or gone`);
  return { faults, progress };
}

/** The list as a file: one entry a line, sorted. */
export function formatList(sizes: Sizes): string {
  const sorted = Object.entries(sizes).sort(([a], [b]) => a < b ? -1 : 1);
  return `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`;
}

/** By the new key, the old key of what lies in another file now and has not grown. */
function movedFrom(listed: Sizes, found: Sizes): ReadonlyMap<string, string> {
  const gone = new Set(Object.keys(listed).filter((key) => !(key in found)));
  const moved = new Map<string, string>();
  for (const [key, length] of Object.entries(found)) {
    if (key in listed) continue;
    const old = [...gone].find((other) => nameIn(other) === nameIn(key) && length <= listed[other]!);
    if (old === undefined) continue;
    gone.delete(old);
    moved.set(key, old);
  }
  return moved;
}

/** The function's name, or the file's. */
function nameIn(key: string): string {
  return key.split(" ")[1] ?? key.slice(key.lastIndexOf("/"));
}

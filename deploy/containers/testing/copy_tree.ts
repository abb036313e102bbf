/** Copies of folders. */
import { dirname } from "@std/path";

/** What is there already stays. @param place puts one file at its new path */
export function copyTree(
  from: string,
  to: string,
  place: (from: string, to: string) => void = Deno.copyFileSync,
): void {
  const entry = Deno.lstatSync(from);
  if (entry.isDirectory) {
    if (!exists(to)) {
      Deno.mkdirSync(to, { recursive: true });
      Deno.chmodSync(to, entry.mode! & 0o7777);
      if (Deno.uid() === 0) Deno.chownSync(to, entry.uid, entry.gid);
    }
    for (const { name } of Deno.readDirSync(from)) copyTree(`${from}/${name}`, `${to}/${name}`, place);
  } else if (!exists(to)) {
    Deno.mkdirSync(dirname(to), { recursive: true });
    if (entry.isSymlink) Deno.symlinkSync(Deno.readLinkSync(from), to);
    else place(from, to);
  }
}

/** A link to nothing, too. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/**
 * For files of this machine that nobody changes: the image's user cannot. Where they are on another disk or another user's, links are
 * refused, and it is a copy.
 */
export function linkOrCopy(from: string, to: string): void {
  try {
    Deno.linkSync(Deno.realPathSync(from), to);
  } catch {
    Deno.copyFileSync(from, to);
  }
}

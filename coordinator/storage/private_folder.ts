/**
 * Keeps the data folder private to its owner, whatever the umask: it holds datasets, adapters, keys and the hashes of tokens.
 * (Setting the umask would need Deno's permission for all of `sys`.)
 */
import { closeSync, openSync } from "node:fs";
import { messageOf, quote } from "../../shared/errors.ts";

export const PRIVATE_FOLDER_MODE = 0o700;
export const PRIVATE_FILE_MODE = 0o600;
const OTHERS = 0o077;

/**
 * Removes other users' access to the folder and everything in it: an earlier release left files that every local user can
 * read. Does not follow links. Warns of files that it cannot change, because another user owns them.
 * @param except folders that are the user's own, such as base models
 */
export async function makePrivate(
  folder: string,
  except: readonly string[],
  warn: (message: string) => void,
): Promise<void> {
  if (Deno.build.os === "windows") return;
  try {
    await tighten(folder, except);
  } catch (thrown) {
    warn(`other users of this machine may read what is in ${quote(folder)}: ${messageOf(thrown)}`);
  }
}

async function tighten(path: string, except: readonly string[]): Promise<void> {
  const found = await Deno.lstat(path).catch((thrown) => {
    // A broker that is ending may still remove files.
    if (thrown instanceof Deno.errors.NotFound) return null;
    throw thrown;
  });
  if (found === null) return;
  const { mode, isSymlink, isDirectory, isFile } = found;
  if (isSymlink || !(isDirectory || isFile) || mode === null) return;
  // The top folder first: that closes everything below it.
  if ((mode & OTHERS) !== 0) await Deno.chmod(path, mode & 0o777 & ~OTHERS);
  if (!isDirectory) return;
  for await (const { name } of Deno.readDir(path)) {
    if (!except.includes(`${path}/${name}`)) await tighten(`${path}/${name}`, except);
  }
}

/** Creates an empty file that only its owner can read, unless it exists: SQLite gives its other files the same mode. */
export function createPrivateFile(path: string): void {
  try {
    // Does not open an existing file: closing it would drop this process's locks on it.
    closeSync(openSync(path, "wx", PRIVATE_FILE_MODE));
  } catch (thrown) {
    if (!(thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST")) throw thrown;
  }
}

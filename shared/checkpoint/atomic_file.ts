/** Writes files whole or not at all, even if the machine stops meanwhile. */
import { LoraFleetError, messageOf, quote } from "../errors.ts";

/** The calls that writing makes, so that a test can make each fail. */
export interface FileSystem {
  /** Creates an empty file beside `path` under a unique name. */
  createBeside(path: string): Promise<{ path: string; file: WritableFile }>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes a rename in this folder durable. */
  syncFolder(folder: string): Promise<void>;
}

interface WritableFile {
  write(bytes: Uint8Array): Promise<number>;
  sync(): Promise<void>;
  close(): void;
}

let lastNumber = 0;

/** The disk of this machine. */
export const diskFileSystem: FileSystem = {
  async createBeside(path) {
    const { folder, name } = split(path);
    // Unique among running writers; overwrites the leftover of a killed process with the same pid.
    const partial = `${folder}/.${name}.${Deno.pid}-${++lastNumber}.partial`;
    return { path: partial, file: await Deno.open(partial, { write: true, create: true, truncate: true }) };
  },
  rename: (from, to) => Deno.rename(from, to),
  remove: (path) => Deno.remove(path),
  async syncFolder(folder) {
    if (Deno.build.os === "windows") return; // Windows cannot open folders; NTFS journals renames by itself.
    using handle = await Deno.open(folder);
    await handle.sync();
  },
};

function split(path: string): { folder: string; name: string } {
  const slash = Math.max(path.lastIndexOf("/"), Deno.build.os === "windows" ? path.lastIndexOf("\\") : -1);
  return { folder: slash < 0 ? "." : path.slice(0, slash) || "/", name: path.slice(slash + 1) };
}

/**
 * Writes each file beside its path, syncs all of them to disk, and only then renames them into place, so that a full disk
 * fails before the first rename.
 * @param files `parts` are written one after the other
 * @throws LoraFleetError `storage` (disk full, no permission, no such folder); nothing is left behind, and older files at
 * the paths stay as they were
 */
export async function writeFilesAtomically(
  files: readonly { readonly path: string; readonly parts: readonly Uint8Array[] }[],
  fileSystem: FileSystem = diskFileSystem,
): Promise<void> {
  const partials: { from: string; to: string }[] = [];
  let current = files[0]?.path ?? "";
  try {
    for (const { path, parts } of files) {
      current = path;
      const created = await fileSystem.createBeside(path);
      partials.push({ from: created.path, to: path });
      await writeParts(created.file, parts);
    }
    for (const { from, to } of [...partials]) {
      current = to;
      await fileSystem.rename(from, to);
      partials.shift();
    }
    for (const folder of new Set(files.map(({ path }) => split(path).folder))) {
      await fileSystem.syncFolder(folder);
    }
  } catch (cause) {
    // The first failure is the one to report.
    for (const { from } of partials) await fileSystem.remove(from).catch(() => {});
    const message = `Writing ${quote(current)} failed: ${messageOf(cause)}`;
    throw new LoraFleetError("storage", message, { param: current, cause });
  }
}

async function writeParts(file: WritableFile, parts: readonly Uint8Array[]): Promise<void> {
  try {
    for (const part of parts) {
      for (let done = 0; done < part.length;) done += await file.write(part.subarray(done));
    }
    await file.sync();
  } finally {
    file.close();
  }
}

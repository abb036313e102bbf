/** A file that appears whole or not at all, whatever fails and whenever the machine stops. */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";

/** The few calls that writing needs, so that a test can let each of them fail. */
export interface FileSystem {
  /** Creates an empty file beside `path` under a name of its own. */
  createBeside(path: string): Promise<{ path: string; file: WritableFile }>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes a rename in this folder durable. */
  syncFolder(folder: string): Promise<void>;
}

export interface WritableFile {
  write(bytes: Uint8Array): Promise<number>;
  sync(): Promise<void>;
  close(): void;
}

let lastNumber = 0;

/** The machine's own disk. */
export const diskFileSystem: FileSystem = {
  async createBeside(path) {
    const { folder, name } = split(path);
    // Unique among those that write now; what a killed process of the same number left behind is written over.
    const partial = `${folder}/.${name}.${Deno.pid}-${++lastNumber}.partial`;
    return { path: partial, file: await Deno.open(partial, { write: true, create: true, truncate: true }) };
  },
  rename: (from, to) => Deno.rename(from, to),
  remove: (path) => Deno.remove(path),
  async syncFolder(folder) {
    if (Deno.build.os === "windows") return; // A folder cannot be opened there; NTFS journals renames by itself.
    using handle = await Deno.open(folder);
    await handle.sync();
  },
};

function split(path: string): { folder: string; name: string } {
  const slash = Math.max(path.lastIndexOf("/"), Deno.build.os === "windows" ? path.lastIndexOf("\\") : -1);
  return { folder: slash < 0 ? "." : path.slice(0, slash) || "/", name: path.slice(slash + 1) };
}

export interface FileContent {
  readonly path: string;
  /** Written one after the other. */
  readonly parts: readonly Uint8Array[];
}

/**
 * Writes each file beside its path, brings all of them to the disk, and only then gives them their names: what fails, fails
 * before the first name is given.
 * @throws LoraFleetError `storage` (disk full, no permission, no such folder); nothing is left behind, and what was at
 * the paths before stays as it was
 */
export async function writeFilesAtomically(
  files: readonly FileContent[],
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
    throw new LoraFleetError("storage", `Writing ${quote(current)} failed: ${messageOf(cause)}.`, {
      param: current,
      cause,
    });
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

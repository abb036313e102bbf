/** A data folder from a backup: complete and checked, or not there at all. */
import { createHash } from "node:crypto";
import { dirname } from "@std/path";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";
import { freeBytes } from "../../../shared/hub/free_space.ts";
import { randomText } from "../../storage/ids.ts";
import { PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE } from "../../storage/private_folder.ts";
import {
  assertReadable,
  type BackupHead,
  HEAD,
  headSchema,
  MANIFEST,
  type Manifest,
  manifestSchema,
} from "./format.ts";
import { readTar, type TarEntry } from "./tar.ts";

/** Larger texts are none of ours. */
const MAX_TEXT_BYTES = 2 ** 30;

export interface Restored {
  readonly head: BackupHead;
  readonly fileCount: number;
  readonly byteCount: number;
}

/**
 * Unpacks `archive` into `dataFolder`, which is empty or not there. Throws `conflict` if it is neither, `corrupt` with what is
 * damaged, `storage`, also for a backup of a newer lorafleet. The folder is untouched then.
 */
export async function restoreBackup(archive: string, dataFolder: string): Promise<Restored> {
  await assertEmpty(dataFolder);
  await assertRoom(archive, dataFolder);
  const building = `${dataFolder}.restoring-${randomText(8)}`;
  try {
    await Deno.mkdir(building, { recursive: true, mode: PRIVATE_FOLDER_MODE });
    const restored = await unpack(archive, building).catch((thrown) => {
      throw thrown instanceof LoraFleetError && thrown.code === "corrupt"
        ? new LoraFleetError("corrupt", `the backup ${quote(archive)} is damaged: ${thrown.message}`, {
          param: "from",
        })
        : thrown;
    });
    await forgetLeases(building);
    await Deno.remove(dataFolder).catch(ignoreMissing);
    await Deno.rename(building, dataFolder);
    return restored;
  } catch (thrown) {
    if (thrown instanceof LoraFleetError) throw thrown;
    const message = `cannot restore ${quote(archive)} into ${quote(dataFolder)}: ${messageOf(thrown)}`;
    throw new LoraFleetError("storage", message, { cause: thrown });
  } finally {
    await Deno.remove(building, { recursive: true }).catch(ignoreMissing);
  }
}

async function unpack(archive: string, folder: string): Promise<Restored> {
  using file = await Deno.open(archive);
  const written: Manifest["files"] = [];
  let head: BackupHead | null = null;
  let manifest: Manifest | null = null;
  for await (const entry of readTar(chunksOf(file))) {
    if (head === null) {
      const { text, sha256 } = await textOf(entry);
      head = headOf(entry, text, archive);
      assertReadable(archive, head);
      written.push({ path: entry.path, size: entry.size, sha256 });
    } else if (entry.path === MANIFEST) {
      manifest = parsed(manifestSchema, (await textOf(entry)).text, MANIFEST);
    } else {
      written.push({ path: entry.path, size: entry.size, sha256: await writeEntry(entry, folder) });
    }
  }
  if (head === null) throw noBackup(archive);
  if (manifest === null) throw damage(`it has no ${MANIFEST}: it was cut off after ${written.length} files`);
  assertSame(manifest, written);
  return { head, fileCount: written.length, byteCount: written.reduce((sum, { size }) => sum + size, 0) };
}

function headOf({ path }: TarEntry, text: string, archive: string): BackupHead {
  if (path !== HEAD) throw noBackup(archive);
  return parsed(headSchema, text, HEAD);
}

async function writeEntry({ path, bytes }: TarEntry, folder: string): Promise<string> {
  const parts = path.split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..") || path.includes("\\")) {
    throw damage(`it has a file ${quote(path)}, which would lie outside the folder`);
  }
  await Deno.mkdir(dirname(`${folder}/${path}`), { recursive: true, mode: PRIVATE_FOLDER_MODE });
  using file = await Deno.open(`${folder}/${path}`, {
    write: true,
    createNew: true,
    mode: PRIVATE_FILE_MODE,
  });
  const hash = createHash("sha256");
  for await (const chunk of bytes) {
    hash.update(chunk);
    for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
  }
  await file.sync();
  return hash.digest("hex");
}

function assertSame({ files }: Manifest, written: Manifest["files"]): void {
  const found = new Map(written.map((file) => [file.path, file]));
  for (const { path, size, sha256 } of files) {
    const file = found.get(path);
    found.delete(path);
    if (file === undefined) throw damage(`it lacks ${quote(path)}`);
    if (file.size !== size || file.sha256 !== sha256) {
      throw damage(`${quote(path)} has SHA-256 ${file.sha256}, and ${sha256} was recorded`);
    }
  }
  for (const path of found.keys()) throw damage(`${quote(path)} was not recorded`);
}

/** The broker counts one every three seconds: two years of them. */
const TERMS_AHEAD = 20_000_000;

/**
 * A coordinator of the original folder may still lead at a broker that both use; and workers that it has led have to take the
 * restored one for its successor.
 */
async function forgetLeases(folder: string): Promise<void> {
  const path = `${folder}/coordinator.json`;
  const text = await Deno.readTextFile(path).catch(ignoreMissing);
  if (text === undefined) return;
  const identity = parsed(z.looseObject({ term: z.int().default(0) }), text, "coordinator.json");
  const next = { ...identity, leaseHolders: [], term: identity.term + TERMS_AHEAD };
  await Deno.writeTextFile(path, `${JSON.stringify(next, null, 2)}\n`);
}

async function assertEmpty(dataFolder: string): Promise<void> {
  const entries = await Array.fromAsync(Deno.readDir(dataFolder)).catch(ignoreMissing) ?? [];
  if (entries.length === 0) return;
  const message = `--data-folder ${
    quote(dataFolder)
  } is not empty: move it away first, or choose a different one`;
  throw new LoraFleetError("conflict", message, { param: "data-folder" });
}

async function assertRoom(archive: string, dataFolder: string): Promise<void> {
  const { size } = await Deno.stat(archive).catch((cause) => {
    throw new LoraFleetError("not_found", `cannot read the backup ${quote(archive)}: ${messageOf(cause)}`, {
      cause,
    });
  });
  const parent = dirname(dataFolder);
  await Deno.mkdir(parent, { recursive: true });
  const free = await freeBytes(parent);
  if (free === null || free > size) return;
  const message = `the backup needs ${size} bytes, and the disk of ${quote(dataFolder)} has ${free} free`;
  throw new LoraFleetError("storage", message, { param: "data-folder" });
}

async function textOf({ path, size, bytes }: TarEntry): Promise<{ text: string; sha256: string }> {
  if (size > MAX_TEXT_BYTES) throw damage(`${quote(path)} has ${size} bytes`);
  const hash = createHash("sha256");
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of bytes) {
    hash.update(chunk);
    chunks.push(new Uint8Array(chunk));
  }
  return { text: await new Blob(chunks).text(), sha256: hash.digest("hex") };
}

function parsed<T>(schema: z.ZodType<T>, text: string, path: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new LoraFleetError("corrupt", `${path} is ${quote(text.slice(0, 60))}`, { cause });
  }
}

/** Reading does not close it. */
async function* chunksOf(file: Deno.FsFile): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(2 ** 18);
  for (;;) {
    const count = await file.read(buffer);
    if (count === null) return;
    yield buffer.slice(0, count);
  }
}

function damage(what: string): LoraFleetError {
  return new LoraFleetError("corrupt", what);
}

function noBackup(archive: string): LoraFleetError {
  return new LoraFleetError(
    "invalid_request",
    `${quote(archive)} is not a backup of lorafleet: it has no ${HEAD}`,
    {
      param: "from",
    },
  );
}

function ignoreMissing(thrown: unknown): undefined {
  if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
}

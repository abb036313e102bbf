/** A backup as a stream: a snapshot, packed, each file with its SHA-256; the snapshot is removed at the end. */
import { createHash } from "node:crypto";
import { randomText } from "../../storage/ids.ts";
import { type BackupHead, HEAD, MANIFEST, type Manifest } from "./format.ts";
import { type Snapshot, type SnapshotSource, takeSnapshot } from "./snapshot.ts";
import { type TarEntry, writeTar } from "./tar.ts";

export interface Backup {
  /** The archive. Ends the snapshot when it has been read, or is cancelled. */
  readonly stream: ReadableStream<Uint8Array>;
  readonly missing: readonly string[];
}

/**
 * Takes a snapshot now and packs it as it is read. Throws `storage`.
 * @param now milliseconds since the Unix epoch
 */
export async function openBackup(source: SnapshotSource, now: number): Promise<Backup> {
  const folder = `${source.dataFolder}/snapshots/${randomText(12)}`;
  try {
    const snapshot = await takeSnapshot(source, folder);
    return { stream: ReadableStream.from(pack(snapshot, now)), missing: snapshot.missing };
  } catch (thrown) {
    await removeSnapshot(folder);
    throw thrown;
  }
}

/** Removes what an ended process has left. */
export async function sweepSnapshots(dataFolder: string): Promise<void> {
  await removeSnapshot(`${dataFolder}/snapshots`);
}

async function* pack({ folder, head }: Snapshot, now: number): AsyncGenerator<Uint8Array> {
  try {
    yield* writeTar(entriesOf(folder, { ...head, created_at: new Date(now).toISOString() }));
  } finally {
    await removeSnapshot(folder);
  }
}

async function* entriesOf(folder: string, head: BackupHead): AsyncGenerator<TarEntry> {
  const files: Manifest["files"] = [];
  const hashed = (path: string, size: number, bytes: AsyncIterable<Uint8Array>): TarEntry => ({
    path,
    size,
    bytes: hashing(bytes, (sha256) => files.push({ path, size, sha256 })),
  });
  yield hashed(...textEntry(HEAD, head));
  for await (const path of pathsIn(folder, "")) {
    const file = await Deno.open(`${folder}/${path}`);
    // Reading it to its end closes it.
    yield hashed(path, (await file.stat()).size, file.readable);
  }
  const [path, size, bytes] = textEntry(MANIFEST, { files } satisfies Manifest);
  yield { path, size, bytes };
}

function textEntry(path: string, value: unknown): [string, number, AsyncIterable<Uint8Array>] {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value, null, 1)}\n`);
  return [path, bytes.length, ReadableStream.from([bytes])];
}

async function* hashing(
  bytes: AsyncIterable<Uint8Array>,
  onEnd: (sha256: string) => void,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  for await (const chunk of bytes) {
    hash.update(chunk);
    yield chunk;
  }
  onEnd(hash.digest("hex"));
}

/** All files, in a fixed order. */
async function* pathsIn(folder: string, below: string): AsyncGenerator<string> {
  const entries = (await Array.fromAsync(Deno.readDir(`${folder}/${below}`)))
    .toSorted((a, b) => a.name < b.name ? -1 : 1);
  for (const { name, isDirectory } of entries) {
    if (isDirectory) yield* pathsIn(folder, `${below}${name}/`);
    else yield `${below}${name}`;
  }
}

async function removeSnapshot(folder: string): Promise<void> {
  await Deno.remove(folder, { recursive: true }).catch((thrown) => {
    if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
  });
}

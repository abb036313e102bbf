/**
 * Checks that an uploaded checkpoint is the state that all replicas agreed on. A commit's digest is the SHA-256 of adapter and
 * moments one after the other, which are the data of the state's file; the adapter's file holds the same numbers by name. A job
 * without training state (`save_only_model`) has nothing to check the adapter against.
 */
import { STATE_FILE_NAME } from "../../shared/protocol/checkpoint_format.ts";
import { readWords } from "./state_file.ts";
import { sha256OfFile } from "./verified_file.ts";

const WEIGHTS = "adapter_model.safetensors";
/** Words compared at a time. */
const PIECE_WORDS = 2 ** 18;

/** A tensor's place in the flat array of adapter elements. */
export interface TensorPlace {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** What a checkpoint of a commit must be. */
export interface CheckpointTruth {
  /** Of the commit. */
  readonly digest: string;
  /** Null: unknown, so the adapter is not compared with the state. */
  readonly layout: { readonly tensors: readonly TensorPlace[] } | null;
}

/** Null if it is right, otherwise what is wrong. `pathOf` returns null for a file that does not exist. */
export async function checkpointFault(
  pathOf: (name: string) => string | null,
  { digest, layout }: CheckpointTruth,
): Promise<string | null> {
  const statePath = pathOf(STATE_FILE_NAME);
  if (statePath === null) return null;
  const found = await sha256OfFile(statePath, await dataStart(statePath));
  if (found !== digest) return `the training state has the digest ${found}, but ${digest} is committed`;
  const weightsPath = pathOf(WEIGHTS);
  if (weightsPath === null || layout === null) return null;
  return await adapterFault(weightsPath, statePath, layout);
}

/** Compares each tensor of the adapter's file with the state, bit for bit. */
async function adapterFault(
  path: string,
  statePath: string,
  { tensors }: { readonly tensors: readonly TensorPlace[] },
): Promise<string | null> {
  const places = await tensorPlaces(path);
  if (places === null) return `${WEIGHTS} has no readable header`;
  if (places.size !== tensors.length) {
    return `${WEIGHTS} has ${places.size} tensors, the adapter has ${tensors.length}`;
  }
  for (const { name, offset, size } of tensors) {
    const place = places.get(name);
    if (place === undefined || place.end - place.start !== 4 * size) {
      return `${WEIGHTS} has no tensor ${name} of ${size} numbers`;
    }
    for (let at = 0; at < size; at += PIECE_WORDS) {
      const count = Math.min(PIECE_WORDS, size - at);
      const [given, right] = [
        await readWords(path, place.start / 4 + at, count),
        await readWords(statePath, offset + at, count),
      ];
      if (given.length !== count || given.some((word, i) => word !== right[i])) {
        return `${name} in ${WEIGHTS} differs from the training state`;
      }
    }
  }
  return null;
}

async function dataStart(path: string): Promise<number> {
  using file = await Deno.open(path);
  const bytes = new Uint8Array(8);
  await file.read(bytes);
  return 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
}

/** No header of ours is larger. */
const MAX_HEADER_BYTES = 64 * 2 ** 20;

/** The tensors of a safetensors file of f32 with their offsets after the header; null for any other file. */
async function tensorPlaces(
  path: string,
): Promise<ReadonlyMap<string, { readonly start: number; readonly end: number }> | null> {
  const length = await dataStart(path) - 8;
  if (!(length > 0 && length <= MAX_HEADER_BYTES)) return null;
  using file = await Deno.open(path);
  await file.seek(8, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = await file.read(bytes.subarray(at));
    if (count === null) return null;
    at += count;
  }
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return null;
  }
  if (header === null || typeof header !== "object" || Array.isArray(header)) return null;
  const places = new Map<string, { start: number; end: number }>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, data_offsets: offsets } = entry as { dtype?: unknown; data_offsets?: unknown };
    const [start, end] = Array.isArray(offsets) ? offsets : [];
    if (dtype !== "F32" || !Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start % 4 !== 0) {
      return null;
    }
    places.set(name, { start, end });
  }
  return places;
}

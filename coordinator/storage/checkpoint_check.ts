/**
 * Checks that an uploaded checkpoint is the state that all replicas agreed on. The state's file has adapter and moments one after
 * the other, of which the commit has the digest; the adapter's file holds the same numbers by name. A job without training state
 * (`save_only_model`) has nothing to check the adapter against.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import { readSafetensorsHeader } from "../../shared/model/safetensors_file.ts";
import type { SafetensorsHeader } from "../../shared/model/safetensors_header.ts";
import { digestOfWords } from "../../shared/protocol/state/state_digest.ts";
import { STATE_FILE_NAME } from "../../shared/protocol/state/checkpoint_format.ts";
import { digestOfHalf, halvedTensors, PIECE_WORDS, readHalf } from "./pissa_result.ts";
import { dataStartOf, readWords } from "./state_file.ts";
import { sha256OfFile } from "./verified_file.ts";

const WEIGHTS = "adapter_model.safetensors";
/** A tensor's place in the flat array of adapter elements. */
export interface TensorPlace {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly shape: readonly [rows: number, columns: number];
}

/** What a checkpoint of a commit must be. */
export interface CheckpointTruth {
  /** Of the commit. */
  readonly digest: string;
  /** Null: unknown, so the adapter is not compared with the state. */
  readonly layout: { readonly tensors: readonly TensorPlace[] } | null;
  /** Of a PiSSA job, whose file holds the start beside the adapter: the start's digest, null if unknown. Left out: another job. */
  readonly pissa?: { readonly startDigest: string | null };
}

/** Null if it is right, otherwise what is wrong. `pathOf` returns null for a file that does not exist. */
export async function checkpointFault(
  pathOf: (name: string) => string | null,
  { digest, layout, pissa }: CheckpointTruth,
): Promise<string | null> {
  const statePath = pathOf(STATE_FILE_NAME);
  if (statePath === null) return null;
  const found = await digestOfStateFile(statePath);
  // A job that goes on from an earlier release's state may store that state once more.
  if (found !== digest && await sha256OfFile(statePath, await dataStartOf(statePath)) !== digest) {
    return `the training state has the digest ${found}, but ${digest} is committed`;
  }
  const weightsPath = pathOf(WEIGHTS);
  if (weightsPath === null || layout === null) return null;
  return pissa === undefined
    ? await adapterFault(weightsPath, statePath, layout)
    : await pissaFault(weightsPath, statePath, layout, pissa.startDigest);
}

/** As workers compute it (shared/protocol/state/state_digest.ts). */
async function digestOfStateFile(path: string): Promise<string> {
  const words = ((await Deno.stat(path)).size - await dataStartOf(path)) / 4;
  return await digestOfWords(Math.floor(words / 3), (offset, count) => readWords(path, offset, count));
}

/** Compares the trained half with the state, bit for bit, and the other one with what most workers started from. */
async function pissaFault(
  path: string,
  statePath: string,
  { tensors }: { readonly tensors: readonly TensorPlace[] },
  startDigest: string | null,
): Promise<string | null> {
  const header = await readHeader(path);
  if (header === null) return `${WEIGHTS} has no readable header`;
  const halves = halvedTensors(header, tensors);
  if (typeof halves === "string") return `${WEIGHTS}: ${halves}`;
  for (const [index, half] of halves.entries()) {
    for (let at = 0; at < half.size; at += PIECE_WORDS) {
      const count = Math.min(PIECE_WORDS, half.size - at);
      const given = await readHalf(path, half, "trained", at, count);
      const right = await readWords(statePath, tensors[index]!.offset + at, count);
      if (!isSame(given, right, count)) return `${half.name} in ${WEIGHTS} differs from the training state`;
    }
  }
  const found = await digestOfHalf(path, halves, "start");
  return startDigest === null || found === startDigest
    ? null
    : `the start in ${WEIGHTS} has the digest ${found}, but most workers computed ${startDigest} from the base model`;
}

const isSame = (given: Int32Array, right: Int32Array, count: number) =>
  given.length === count && given.every((word, i) => word === right[i]);

/** Compares each tensor of the adapter's file with the state, bit for bit. */
async function adapterFault(
  path: string,
  statePath: string,
  { tensors }: { readonly tensors: readonly TensorPlace[] },
): Promise<string | null> {
  const found = (await readHeader(path))?.tensors;
  if (found === undefined) return `${WEIGHTS} has no readable header`;
  if (found.size !== tensors.length) {
    return `${WEIGHTS} has ${found.size} tensors, the adapter has ${tensors.length}`;
  }
  for (const { name, offset, size } of tensors) {
    const place = found.get(name);
    if (place === undefined || place.end - place.start !== 4 * size) {
      return `${WEIGHTS} has no tensor ${name} of ${size} numbers`;
    }
    for (let at = 0; at < size; at += PIECE_WORDS) {
      const count = Math.min(PIECE_WORDS, size - at);
      const [given, right] = [
        await readWords(path, place.start / 4 + at, count),
        await readWords(statePath, offset + at, count),
      ];
      if (!isSame(given, right, count)) {
        return `${name} in ${WEIGHTS} differs from the training state`;
      }
    }
  }
  return null;
}

/** The header of a safetensors file of f32; null for any other file. */
async function readHeader(path: string): Promise<SafetensorsHeader | null> {
  try {
    const header = await readSafetensorsHeader(path, WEIGHTS);
    return header.tensors.values().every(({ dtype }) => dtype === "F32") ? header : null;
  } catch (thrown) {
    if (thrown instanceof LoraFleetError && thrown.code === "invalid_model") return null;
    throw thrown;
  }
}

/**
 * The file of a PiSSA job's adapter, [A; A₀] and [B, −B₀] (shared/job/pissa.ts), as the two adapters that it is made of: the
 * trained one, which is the training state's, and the one that training started from.
 */
import { createHash } from "node:crypto";
import type { SafetensorsHeader } from "../../shared/model/safetensors_header.ts";
import { GRADIENT_BLOCK_SIZE } from "../../shared/model/gradient_layout.ts";
import { readWords } from "./state_file.ts";

export type Half = "trained" | "start";

/** One tensor of a half. */
export interface HalvedTensor {
  readonly name: string;
  /** Of the half. */
  readonly size: number;
  readonly rank: number;
  /** Its first word in the file's data. */
  readonly position: number;
}

/** A tensor's place in the flat array, with its shape [rows, columns] there. */
interface Place {
  readonly name: string;
  readonly size: number;
  readonly shape: readonly [rows: number, columns: number];
}

const SIGN = 0x8000_0000 | 0;
/** Words read at a time. */
export const PIECE_WORDS = 2 ** 18;

/** The tensors in the order of their places; a string says what is wrong. */
export function halvedTensors(
  { tensors }: SafetensorsHeader,
  places: readonly Place[],
): HalvedTensor[] | string {
  if (tensors.size !== places.length) {
    return `it has ${tensors.size} tensors, the adapter has ${places.length}`;
  }
  const halved: HalvedTensor[] = [];
  for (const { name, size, shape: [rows, columns] } of places) {
    const isA = name.endsWith(".lora_A.weight");
    const needed = isA ? [2 * rows, columns] : [rows, 2 * columns];
    const found = tensors.get(name);
    if (found === undefined || found.shape.join() !== needed.join()) {
      return `it has no tensor ${name} of [${
        needed.join(", ")
      }], which a PiSSA job's adapter and its start make together`;
    }
    halved.push({ name, size, rank: isA ? rows : columns, position: found.start / 4 });
  }
  return halved;
}

/** Words `from` … `from + count − 1` of a half's tensor, flattened row by row; fewer if the file ends before. */
export async function readHalf(
  path: string,
  { name, size, rank, position }: HalvedTensor,
  half: Half,
  from: number,
  count: number,
): Promise<Int32Array> {
  if (name.endsWith(".lora_A.weight")) {
    return await readWords(path, position + (half === "start" ? size : 0) + from, count);
  }
  const firstRow = Math.floor(from / rank);
  const rows = Math.ceil((from + count) / rank) - firstRow;
  const both = await readWords(path, position + 2 * rank * firstRow, 2 * rank * rows);
  if (both.length < 2 * rank * rows) return new Int32Array(0);
  const words = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const at = from + i;
    const start = 2 * rank * (Math.floor(at / rank) - firstRow) + at % rank;
    words[i] = half === "trained" ? both[start]! : both[start + rank]! ^ SIGN;
  }
  return words;
}

/** SHA-256 (hex) of a half as the flat array of its tensors, as workers compute it of their start. */
export async function digestOfHalf(
  path: string,
  tensors: readonly HalvedTensor[],
  half: Half,
): Promise<string> {
  const hash = createHash("sha256");
  for (const tensor of tensors) {
    for (let at = 0; at < tensor.size; at += PIECE_WORDS) {
      const words = await readHalf(path, tensor, half, at, Math.min(PIECE_WORDS, tensor.size - at));
      hash.update(new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
    }
    const padding = (GRADIENT_BLOCK_SIZE - tensor.size % GRADIENT_BLOCK_SIZE) % GRADIENT_BLOCK_SIZE;
    hash.update(new Uint8Array(4 * padding));
  }
  return hash.digest("hex");
}

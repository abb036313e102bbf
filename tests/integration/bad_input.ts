/** A bad input as one row, and what damages a base model. */
import { openSafetensors } from "../../shared/checkpoint/safetensors.ts";
import { type TensorData, writeSafetensors } from "../../shared/checkpoint/safetensors_write.ts";

export interface BadInput {
  readonly name: string;
  /** Fields of the job's body, over those of a good one; a string is the whole body. */
  readonly job?: object | string;
  /** The training file. */
  readonly dataset?: string;
  /** Changes a copy of the demo's base model. */
  readonly damage?: (folder: string) => Promise<void>;
  /** The status of the answer to the job's creation; 200 if the job fails later, when its data is prepared. */
  readonly status: 200 | 400 | 404;
  readonly code: string;
  readonly param: string | null;
  /** Substrings of the message. */
  readonly says: readonly string[];
}

export const row = (prompt: string, completion: string) => JSON.stringify({ prompt, completion });
export const GOOD_DATASET = [row("mint", " m i n t"), row("otter", " o t t e r"), row("lamp", " l a m p")]
  .join("\n");

export async function editJson(path: string, change: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await Deno.readTextFile(path));
  change(json);
  await Deno.writeTextFile(path, JSON.stringify(json));
}

export const config = (changes: object) => (folder: string) =>
  editJson(`${folder}/config.json`, (json) => Object.assign(json, changes));

/** Changes the bytes of the weights. */
export const bytes = (change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array) => async (folder: string) => {
  const path = `${folder}/model.safetensors`;
  await Deno.writeFile(path, change(await Deno.readFile(path)));
};

/** Rewrites the weights as a sound file, with one tensor replaced, or left out for null. */
export const tensor =
  (name: string, change: (tensor: TensorData) => TensorData | null) => async (folder: string) => {
    const path = `${folder}/model.safetensors`;
    const file = openSafetensors(path);
    const tensors = [...file.tensors.values()].flatMap(({ name: stored, dtype, shape }) => {
      const kept = { name: stored, dtype, shape, data: file.read(stored) };
      return stored === name ? change(kept) ?? [] : kept;
    });
    await writeSafetensors(path, tensors);
  };

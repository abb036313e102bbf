/** What an adapter adds to each linear layer: scale · B · A, in f32 and in the order in which PEFT computes it. */
import type { LowRank } from "../low_rank.ts";
import { openSafetensors } from "../safetensors.ts";
import { LoraFleetError, quote } from "../../errors.ts";
import { rankFunction } from "../../job/adapter_modules.ts";
import type { LoraSpec } from "../../job/job_spec_schema.ts";
import { resultLora } from "../../job/pissa.ts";
import { invalidFile } from "../../model/safetensors_header.ts";

/** LoRA of one linear layer: A [rank, in], B [out, rank]. */
export interface LoraDelta extends LowRank {
  readonly outFeatures: number;
}

const NAME = /^base_model\.model\.(.+)\.lora_A\.weight$/;

/**
 * Reads a job's adapter as PEFT stores it. That of a PiSSA job has twice the job's rank (pissa.ts).
 * @returns by the linear layer's name, as the base model has it
 * @throws LoraFleetError `invalid_model` for a damaged file, `corrupt` for a tensor that is not finite
 */
export function readDeltas(path: string, lora: LoraSpec): Map<string, LoraDelta> {
  const file = openSafetensors(path);
  const deltas = new Map<string, LoraDelta>();
  const rankOf = rankFunction(resultLora(lora));
  const read = (name: string) => {
    const { shape } = file.tensors.get(name) ?? missing(path, name);
    const values = file.readFloat32(name);
    if (values.every(Number.isFinite)) return { values, rows: shape[0]!, columns: shape[1]! };
    const message = `Merging the adapter failed: its tensor ${quote(name)} has values that are not finite`;
    throw new LoraFleetError("corrupt", message, { param: name });
  };
  for (const name of file.tensors.keys()) {
    const module = NAME.exec(name)?.[1];
    if (module === undefined) continue;
    const [a, b] = [read(name), read(name.replace(".lora_A.", ".lora_B."))];
    const { rank, scale } = rankOf(module);
    if (a.rows !== rank || b.columns !== rank) {
      const ranks = `A and B of ${quote(module)} have the ranks ${a.rows} and ${b.columns}`;
      throw invalidFile(path, `${ranks}, the job's is ${rank}`, { param: module });
    }
    deltas.set(module, {
      ...{ rank, scale, a: a.values, b: b.values, outFeatures: b.rows, inFeatures: a.columns },
    });
  }
  if (deltas.size === 0) throw invalidFile(path, "it has no LoRA tensors");
  return deltas;
}

function missing(path: string, name: string): never {
  throw invalidFile(path, `tensor ${quote(name)} is missing`, { param: name });
}

/**
 * Adds rows `firstRow` … of scale · B · A to `values`, which holds as many rows of the weight as fit. Each product is added with
 * one rounding, as a fused multiply-add of the matrix product in torch does.
 */
export function addDelta(values: Float32Array, firstRow: number, delta: LoraDelta): void {
  const { rank, a, b, inFeatures: columns } = delta;
  const scale = Math.fround(delta.scale);
  const sum = new Float32Array(columns);
  for (let row = firstRow, start = 0; start < values.length; row++, start += columns) {
    sum.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = b[row * rank + k]!;
      const from = k * columns;
      for (let j = 0; j < columns; j++) sum[j] = sum[j]! + factor * a[from + j]!;
    }
    for (let j = 0; j < columns; j++) values[start + j]! += Math.fround(sum[j]! * scale);
  }
}

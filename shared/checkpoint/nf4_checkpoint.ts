/**
 * Reads linear layers that bitsandbytes stored in NF4. Beside `….weight` (packed codes) its safetensors files have
 * `.absmax`, `.quant_map`, with double quantisation `.nested_absmax` and `.nested_quant_map`, and a small JSON text as bytes.
 */
import { quote } from "../errors.ts";
import { NF4_STATE_SUFFIX, parseNf4State } from "../model/nf4_state.ts";
import { invalidFile } from "../model/safetensors_header.ts";
import { DYNAMIC_MAP, NESTED_BLOCK_SIZE } from "./nf4/nf4_absmax.ts";
import { NF4_BLOCK_SIZE, type Nf4Weights } from "./nf4/nf4.ts";
import { NF4_CODEBOOK } from "./nf4/codebook.ts";
import type { SafetensorsFile } from "./safetensors.ts";

const STATE = NF4_STATE_SUFFIX;

/** Whether tensor `weight` (`….q_proj.weight`) is stored in NF4, or in a different 4-bit form, which reading refuses. */
export function isPrequantized(file: SafetensorsFile, weight: string): boolean {
  return file.tensors.get(weight)?.dtype === "U8";
}

/**
 * Reads a weight bit for bit as bitsandbytes stored it.
 * @throws LoraFleetError `invalid_model` naming the tensor and the file
 */
export function readPrequantized(
  file: SafetensorsFile,
  weight: string,
  outFeatures: number,
  inFeatures: number,
): Nf4Weights {
  const refuse = (suffix: string, reason: string) =>
    invalidFile(file.path, `tensor ${quote(weight + suffix)}: ${reason}`, { param: weight + suffix });
  const read = (suffix: string, dtype: "U8" | "F32", count: number) => {
    const info = file.tensors.get(weight + suffix);
    if (info === undefined) throw refuse(suffix, "it is missing, but the weight is stored in NF4");
    const found = info.shape.reduce((product, size) => product * size, 1);
    if (info.dtype !== dtype || found !== count) {
      throw refuse(suffix, `it has ${found} × ${info.dtype}, ${count} × ${dtype} is needed`);
    }
    return file.read(weight + suffix);
  };
  const floats = (suffix: string, count: number) => new Float32Array(read(suffix, "F32", count).buffer);

  const stateInfo = file.tensors.get(weight + STATE);
  if (stateInfo === undefined) {
    throw refuse("", `it is U8, but without ${STATE}: only bitsandbytes' NF4 is supported`);
  }
  const state = parseNf4State(file.read(weight + STATE));
  if ("problem" in state) throw refuse(STATE, String(state.problem));
  if (state.shape[0] !== outFeatures || state.shape[1] !== inFeatures) {
    const found = `its shape is [${state.shape.join(", ")}]`;
    throw refuse(STATE, `${found}, config.json says [${outFeatures}, ${inFeatures}]`);
  }
  const count = outFeatures * inFeatures;
  const blocks = Math.ceil(count / NF4_BLOCK_SIZE);
  const codes = read("", "U8", Math.ceil(count / 2));
  if (floats(".quant_map", 16).some((value, code) => value !== NF4_CODEBOOK[code])) {
    throw refuse(".quant_map", "its values are not NF4's");
  }
  const shape = { rows: outFeatures, columns: inFeatures, codes };
  if (!file.tensors.has(`${weight}.nested_absmax`)) {
    const absmax = floats(".absmax", blocks);
    return { ...shape, absmax, absmaxCodes: null, nestedAbsmax: null, nestedOffset: 0 };
  }
  if (state.nested_offset === undefined) throw refuse(STATE, "nested_offset is missing");
  const absmaxCodes = read(".absmax", "U8", blocks);
  const nestedAbsmax = floats(".nested_absmax", Math.ceil(blocks / NESTED_BLOCK_SIZE));
  const nestedOffset = Math.fround(state.nested_offset);
  const map = floats(".nested_quant_map", 256);
  if (absmaxCodes.every((code) => map[code] === DYNAMIC_MAP[code])) {
    return { ...shape, absmax: null, absmaxCodes, nestedAbsmax, nestedOffset };
  }
  // Some versions of bitsandbytes changed the map's first value to −1: f32 then holds exactly what the file means.
  const absmax = Float32Array.from(
    absmaxCodes,
    (code, block) =>
      Math.fround(map[code]! * nestedAbsmax[Math.floor(block / NESTED_BLOCK_SIZE)]!) + nestedOffset,
  );
  return { ...shape, absmax, absmaxCodes: null, nestedAbsmax: null, nestedOffset: 0 };
}

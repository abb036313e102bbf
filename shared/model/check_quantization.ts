/** `quantization_config` of config.json. */
import { refuse } from "./config_json.ts";

/**
 * Accepts bitsandbytes' NF4, which loads unchanged, and refuses every other quantisation.
 * @throws LoraFleetError `invalid_model`
 */
export function checkQuantization(quantization: Record<string, unknown>): void {
  const field = (name: string) => `quantization_config.${name}`;
  const remedy =
    "a checkpoint that is not quantised, which workers quantise to NF4 themselves, or one that bitsandbytes stored in NF4";
  const method = quantization["quant_method"];
  if (method !== "bitsandbytes") {
    throw refuse(field("quant_method"), method, `that quantisation is not supported; use ${remedy}`);
  }
  for (const name of ["load_in_8bit", "_load_in_8bit"]) {
    if (quantization[name] === true) {
      throw refuse(field(name), true, `8-bit weights (LLM.int8) are not supported; use ${remedy}`);
    }
  }
  const is4bit = quantization["load_in_4bit"] ?? quantization["_load_in_4bit"];
  if (is4bit !== true) throw refuse(field("load_in_4bit"), is4bit, `true is needed; use ${remedy}`);
  // bitsandbytes' own default is a different type.
  const type = quantization["bnb_4bit_quant_type"] ?? "fp4";
  if (type !== "nf4") {
    throw refuse(field("bnb_4bit_quant_type"), type, `only "nf4" is supported; use ${remedy}`);
  }
  const storage = quantization["bnb_4bit_quant_storage"] ?? "uint8";
  if (storage !== "uint8") {
    throw refuse(field("bnb_4bit_quant_storage"), storage, `only "uint8" is supported`);
  }
}

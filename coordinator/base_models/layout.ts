/**
 * Checks that a base model's weights are those that its config.json describes. Workers check this again on loading; here it
 * takes only the headers, and the user learns of it at once.
 */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { storedName } from "../../shared/model/tied_head.ts";
import { NF4_STATE_SUFFIX as PACKED_STATE } from "../../shared/model/nf4_state.ts";
import { linearModules, modelTensors } from "../../shared/model/model_tensors.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { TensorHeader } from "./headers.ts";

/** Types that workers convert to f32. */
const FLOATS: readonly string[] = ["F32", "F16", "BF16", "F64"];

/** Throws `invalid_model` that names the first tensor that is missing or has the wrong shape. */
export function checkLayout(spec: TransformerSpec, tensors: readonly TensorHeader[]): void {
  const found = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name: wanted, shape, kind } of modelTensors(spec)) {
    const name = storedName(wanted, spec, (table) => found.has(table));
    const tensor = found.get(name);
    if (tensor === undefined) throw invalid(`tensor ${quote(name)} is missing from the safetensors files`);
    if (kind === "linear" && tensor.dtype === "U8") {
      if (found.has(name + PACKED_STATE)) {
        checkPacked(tensor, shape);
        continue;
      }
      const message = `tensor ${quote(name)} is U8, but without ${quote(name + PACKED_STATE)}: only NF4 as ` +
        "bitsandbytes stores it is supported, or weights that are not quantised";
      throw invalid(message);
    }
    if (tensor.shape.length !== shape.length || shape.some((size, i) => size !== tensor.shape[i])) {
      const message = `tensor ${quote(name)} is [${tensor.shape.join(", ")}], but by config.json it is ` +
        `[${shape.join(", ")}]`;
      throw invalid(message);
    }
    if (!FLOATS.includes(tensor.dtype)) {
      const message = `tensor ${quote(name)} is ${tensor.dtype}; one of ${FLOATS.join(", ")} is needed, or ` +
        "weights in NF4 as bitsandbytes stores them";
      throw invalid(message);
    }
  }
}

/** Two codes per byte, in any shape; workers check the rest when they unpack them. */
function checkPacked({ name, shape }: TensorHeader, [out, columns]: readonly number[]): void {
  const bytes = Math.ceil(out! * columns! / 2);
  const found = shape.reduce((product, size) => product * size, 1);
  if (found === bytes) return;
  const message = `tensor ${quote(name)} has ${found} bytes of NF4 codes, but by config.json it is ` +
    `[${out}, ${columns}], which is ${bytes} bytes`;
  throw invalid(message);
}

/**
 * Whether linear layers that bitsandbytes stored in NF4 are doubly quantised; null if none is stored in NF4. The first one
 * decides, as in workers (checkpoint_reader.ts).
 */
export function storedDoubleQuantization(
  spec: TransformerSpec,
  tensors: readonly TensorHeader[],
): boolean | null {
  const dtypes = new Map(tensors.map(({ name, dtype }) => [name, dtype]));
  const weights = linearModules(spec).map(({ name }) =>
    storedName(`${name}.weight`, spec, (weight) => dtypes.has(weight))
  );
  const packed = weights.find((weight) => dtypes.get(weight) === "U8");
  return packed === undefined ? null : dtypes.has(`${packed}.nested_absmax`);
}

function invalid(message: string): LoraFleetError {
  return new LoraFleetError("invalid_model", message, { param: "model" });
}

/** An adapter's tensors in the flat order in which the GPU has them. */
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import type { GradientLayout } from "../../../shared/model/gradient_layout.ts";
import type { Adapter } from "../../files/adapter_file.ts";

/**
 * @returns [layout.elementCount], padding zero
 * @throws LoraFleetError `invalid_model` if a tensor is missing, superfluous or of a different shape: the adapter was made for
 * a different base model
 */
export function flattenAdapter(layout: GradientLayout, { tensors }: Adapter): Float32Array {
  const refuse = (name: string, reason: string) =>
    new LoraFleetError(
      "invalid_model",
      `Applying the adapter failed: tensor ${quote(name)} ${reason}. Was it made for this base model?`,
      { param: name },
    );
  const given = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const flat = new Float32Array(layout.elementCount);
  for (const { name, shape, offset } of layout.tensors) {
    const tensor = given.get(name);
    if (tensor === undefined) throw refuse(name, "is missing, though adapter_config.json asks for it");
    if (tensor.shape[0] !== shape[0] || tensor.shape[1] !== shape[1]) {
      throw refuse(name, `is [${tensor.shape.join(", ")}], the base model needs [${shape.join(", ")}]`);
    }
    flat.set(tensor.data, offset);
    given.delete(name);
  }
  for (const name of given.keys()) throw refuse(name, "belongs to no layer that adapter_config.json names");
  return flat;
}

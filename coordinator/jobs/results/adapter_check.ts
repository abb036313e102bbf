/** Refuses an adapter that training did not change: with every lora_B still zero it has no effect. */
import { counted } from "../../../shared/counted.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { hasOtherThanZero, readSafetensorsHeader } from "../../../shared/model/safetensors_file.ts";

/**
 * Throws `invalid_request` if every lora_B of the adapter at `path` is 0, `invalid_model` if the file is damaged.
 * @param steps trained steps, for the message
 */
export async function assertAdapterMoved(path: string, steps: number): Promise<void> {
  const { tensors, dataStart } = await readSafetensorsHeader(path, "adapter_model.safetensors");
  for (const { name, dtype, shape, start, end } of tensors.values()) {
    if (!name.endsWith(".lora_B.weight")) continue;
    const stored = { path, dtype, shape, from: dataStart + start, to: dataStart + end };
    if (await hasOtherThanZero(stored)) return;
  }
  const message = `the adapter did not move: after ${counted(steps, "step")} every lora_B is 0, so that it ` +
    "changes nothing about the base model. Give it learning rates above 0: more steps, a shorter warm-up, " +
    "a higher training.learning_rate";
  throw new LoraFleetError("invalid_request", message, { param: "training.learning_rate" });
}

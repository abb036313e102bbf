/** Whether training has changed an adapter: one whose every lora_B is still zero is no result, whatever the steps say. */
import { counted } from "../../shared/counted.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { hasOtherThanZero, readSafetensorsHeader } from "../../shared/model/safetensors_file.ts";

/**
 * Throws a `LoraFleetError` with code `invalid_request` where the adapter at `path` is as it was before its first step, and
 * `invalid_model` where the file is damaged.
 * @param steps that were trained, for the message
 */
export async function assertAdapterMoved(path: string, steps: number): Promise<void> {
  const { tensors, dataStart } = await readSafetensorsHeader(path, "adapter_model.safetensors");
  for (const { name, dtype, shape, start, end } of tensors.values()) {
    if (!name.endsWith(".lora_B.weight")) continue;
    const stored = { path, dtype, shape, from: dataStart + start, to: dataStart + end };
    if (await hasOtherThanZero(stored)) return;
  }
  throw new LoraFleetError(
    "invalid_request",
    `the adapter did not move: after ${
      counted(steps, "step")
    } every lora_B is 0, so that it changes nothing ` +
      `about the base model. Give it learning rates above 0: more steps, a shorter warm-up, a higher training.learning_rate`,
    { param: "training.learning_rate" },
  );
}

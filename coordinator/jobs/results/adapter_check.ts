/** Refuses an adapter that training did not change: with every lora_B still zero it has no effect. */
import { counted } from "../../../shared/counted.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import type { TensorPlace } from "../../storage/checkpoint_check.ts";
import { halvedTensors, PIECE_WORDS, readHalf } from "../../storage/pissa_result.ts";
import { hasOtherThanZero, readSafetensorsHeader } from "../../../shared/model/safetensors_file.ts";

/**
 * Throws `invalid_request` if the adapter at `path` has no effect, `invalid_model` if the file is damaged.
 * @param steps trained steps, for the message
 * @param places of a PiSSA job: its adapter's tensors, which have no effect as long as they are those of its start
 */
export async function assertAdapterMoved(
  path: string,
  steps: number,
  places: readonly TensorPlace[] | null = null,
): Promise<void> {
  const header = await readSafetensorsHeader(path, "adapter_model.safetensors");
  if (places !== null ? await hasLeftStart(path, header, places) : await hasEffect(path, header)) return;
  const still = places === null
    ? "every lora_B is 0, so that it changes nothing about the base model"
    : "it is what PiSSA started from, so that it changes nothing about the base model";
  const message =
    `the adapter did not move: after ${counted(steps, "step")} ${still}. Give it learning rates ` +
    "above 0: more steps, a shorter warm-up, a higher training.learning_rate";
  throw new LoraFleetError("invalid_request", message, { param: "training.learning_rate" });
}

type Header = Awaited<ReturnType<typeof readSafetensorsHeader>>;

async function hasEffect(path: string, { tensors, dataStart }: Header): Promise<boolean> {
  for (const { name, dtype, shape, start, end } of tensors.values()) {
    if (!name.endsWith(".lora_B.weight")) continue;
    const stored = { path, dtype, shape, from: dataStart + start, to: dataStart + end };
    if (await hasOtherThanZero(stored)) return true;
  }
  return false;
}

async function hasLeftStart(
  path: string,
  header: Header,
  places: readonly TensorPlace[],
): Promise<boolean> {
  const halves = halvedTensors(header, places);
  if (typeof halves === "string") {
    throw new LoraFleetError("invalid_model", `the adapter is damaged: ${halves}`);
  }
  for (const half of halves) {
    for (let at = 0; at < half.size; at += PIECE_WORDS) {
      const count = Math.min(PIECE_WORDS, half.size - at);
      const start = await readHalf(path, half, "start", at, count);
      if ((await readHalf(path, half, "trained", at, count)).some((word, i) => word !== start[i])) {
        return true;
      }
    }
  }
  return false;
}

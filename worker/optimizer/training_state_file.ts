/** Writes a training state: everything that a step changes, so that training resumes from it with the same bits. */
import { STATE_FILE_NAME, STATE_TENSOR_NAMES } from "../../shared/protocol/state/checkpoint_format.ts";
import type { TrainingState } from "./adamw_state.ts";
import type { FileSystem } from "../../shared/checkpoint/atomic_file.ts";
import { writeSafetensors } from "../../shared/checkpoint/safetensors_write.ts";

/**
 * Writes the state into an existing `folder`, in the layout of shared/protocol/state/checkpoint_format.ts.
 * @throws LoraFleetError `storage`; nothing is left behind
 */
export async function writeTrainingState(
  folder: string,
  state: TrainingState,
  fileSystem?: FileSystem,
): Promise<void> {
  const arrays = [state.adapter, state.firstMoment, state.secondMoment];
  const tensors = STATE_TENSOR_NAMES.map((name, index) => {
    const data = arrays[index]!;
    return { name, dtype: "F32" as const, shape: [data.length], data };
  });
  const metadata = { format: "lorafleet", update_count: String(state.updateCount) };
  await writeSafetensors(`${folder}/${STATE_FILE_NAME}`, tensors, metadata, fileSystem);
}

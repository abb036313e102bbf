import { assertEquals } from "@std/assert";
import { STATE_FILE_NAME, STATE_TENSOR_NAMES } from "../../shared/protocol/state/checkpoint_format.ts";
import { openSafetensors } from "../../shared/checkpoint/safetensors.ts";
import { writeTrainingState } from "./training_state_file.ts";

Deno.test("the three arrays follow each other in the order in which workers recover them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const of = (first: number) => Float32Array.from({ length: 5 }, (_, i) => first + i);
    const state = { updateCount: 7, adapter: of(0), firstMoment: of(10), secondMoment: of(20) };
    await writeTrainingState(folder, state);
    const path = `${folder}/${STATE_FILE_NAME}`;
    const file = openSafetensors(path);
    assertEquals([...file.tensors.keys()], [...STATE_TENSOR_NAMES]);
    const bytes = await Deno.readFile(path);
    const values = new Float32Array(bytes.slice(-4 * 15).buffer);
    assertEquals([...values], [...state.adapter, ...state.firstMoment, ...state.secondMoment]);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), [STATE_FILE_NAME]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { assertAdapterMoved } from "./adapter_check.ts";

const NAME = "base_model.model.model.layers.0.self_attn.q_proj.lora_";

/** An adapter of rank 2 on one layer of 3 × 3, as PEFT lays it out. */
async function withAdapter(b: readonly number[], body: (path: string) => Promise<void>): Promise<void> {
  const header = new TextEncoder().encode(JSON.stringify({
    [`${NAME}A.weight`]: { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
    [`${NAME}B.weight`]: { dtype: "F32", shape: [3, 2], data_offsets: [24, 48] },
  }));
  const bytes = new Uint8Array(8 + header.length + 48);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  bytes.set(new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6, ...b).buffer), 8 + header.length);
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, bytes);
    await body(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("an adapter whose every lora_B is 0 is refused", () =>
  withAdapter([0, -0, 0, 0, 0, 0], async (path) => {
    const error = await assertRejects(
      () => assertAdapterMoved(path, 1),
      LoraFleetError,
      "after 1 step every lora_B is 0",
    );
    assertEquals([error.code, error.param], ["invalid_request", "training.learning_rate"]);
  }));

Deno.test("a single nonzero element of lora_B is enough", () =>
  withAdapter([0, 0, 0, 0, 0, 1e-38], (path) => assertAdapterMoved(path, 1)));

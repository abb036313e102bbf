import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import { writeAdapter } from "../../worker/files/adapter_file.ts";
import { digestOf, emptyState } from "../../worker/optimizer/adamw_state.ts";
import { readStateWords } from "../../worker/recovery/state_words.ts";
import { adapterLayout } from "../../coordinator/planning/adapter_layout.ts";
import type { AdapterLayout } from "../../coordinator/planning/adapter_layout.ts";
import { openInitialAdapter } from "../../coordinator/planning/initial_adapter.ts";
import { sha256Of } from "../../coordinator/storage/streamed_file.ts";

/** Sizes that are no multiples of the block, so that there is padding between the tensors. */
const lora = loraSchema.parse({ r: 3, target_modules: ["q_proj", "v_proj"] });
const modules = [0, 1].flatMap((layer) => [
  { name: `model.layers.${layer}.self_attn.q_proj`, outFeatures: 40, inFeatures: 24 },
  { name: `model.layers.${layer}.self_attn.v_proj`, outFeatures: 7, inFeatures: 24 },
]);
const layout = adapterLayout({ lora }, { linear: modules, other: [] });

async function withAdapter(
  body: (path: string, adapter: Float32Array, sha256: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const adapter = new Float32Array(layout.elementCount);
    const tensors = layout.tensors.map(({ name, offset, size }, index) => {
      const data = adapter.subarray(offset, offset + size).map((_, i) => Math.sin(index + i));
      adapter.set(data, offset);
      const shape: [number, number] = name.endsWith("lora_A.weight")
        ? [lora.r, size / lora.r]
        : [size / lora.r, lora.r];
      return { name, shape, data };
    });
    await writeAdapter(folder, { tensors, lora, baseModelName: "org/tiny" });
    const path = `${folder}/adapter_model.safetensors`;
    await body(path, adapter, sha256Of(await Deno.readFile(path)));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("an adapter's file is a state whose digest and words are a worker's, moments of zero behind it", () =>
  withAdapter(async (path, adapter, sha256) => {
    const state = { ...emptyState(layout.elementCount), adapter };
    const initial = await openInitialAdapter(path, sha256, layout);
    assertEquals(initial.digest, digestOf(state));
    const whole = { updateCount: 0, ...state };
    const total = 3 * layout.elementCount;
    for (
      const [offset, count] of [[0, total], [0, 1], [71, 100], [1, total], [total - 5, 99], [total, 4], [
        130,
        0,
      ]] as const
    ) {
      const expected = readStateWords(whole, offset, Math.max(0, Math.min(count, total - offset)));
      assertEquals(await initial.readWords(offset, count), expected, `${count} from ${offset}`);
    }
  }));

Deno.test("a file other than the recorded one, or of a different layout, is refused", () =>
  withAdapter(async (path, _, sha256) => {
    const refusal = async (given: string, of: AdapterLayout) => {
      const error = await assertRejects(() => openInitialAdapter(path, given, of), LoraFleetError);
      return [error.code, error.param];
    };
    assertEquals(await refusal("0".repeat(64), layout), ["corrupt", "model"]);
    const wider = adapterLayout({ lora: { ...lora, r: 4 } }, { linear: modules, other: [] });
    assertEquals(await refusal(sha256, wider), ["invalid_model", "model"]);
    assertEquals(await refusal(sha256, adapterLayout({ lora }, { linear: modules.slice(2), other: [] })), [
      "invalid_model",
      "model",
    ]);
    const renamed = modules.map((module) => ({
      ...module,
      name: module.name.replace("layers.1", "layers.2"),
    }));
    assertEquals(await refusal(sha256, adapterLayout({ lora }, { linear: renamed, other: [] })), [
      "invalid_model",
      "model",
    ]);
    await Deno.remove(path);
    assertEquals((await refusal(sha256, layout))[0], "storage");
  }));

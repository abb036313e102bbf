import { assertEquals } from "@std/assert";
import { brokenModel, changeTensor } from "../../tests/golden/broken_model.ts";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { readTransformerSpec } from "./model_check.ts";
import { readTableFormats } from "./table_formats.ts";

async function formatsIn(folder: string) {
  return await readTableFormats(folder, await readTransformerSpec(folder));
}

Deno.test("tables have the format of the stored weights, whatever config.json says", async () => {
  const found = async (name: Parameters<typeof loadLadderCase>[0]) =>
    await formatsIn(loadLadderCase(name).modelFolder);
  assertEquals(await found("qwen2_rslora"), { embeddings: "f16", head: "f16" });
  assertEquals(await found("llama3_sharded"), { embeddings: "bf16", head: "bf16" });
  assertEquals(await found("gqa_tied"), { embeddings: "f32", head: "f32" });
  assertEquals(await found("gemma3_vision"), { embeddings: "bf16", head: "bf16" });
  await using model = await brokenModel("mistral_window", {
    config: { torch_dtype: "float16", dtype: undefined },
    tensors: changeTensor("lm_head.weight", (tensor) => (
      { ...tensor, dtype: "F32", data: new Float32Array(tensor.data.length / 2) }
    )),
  });
  assertEquals(await formatsIn(model.folder), { embeddings: "bf16", head: "f32" });
});

Deno.test("without weights, or with none that can be read, config.json's type is what to expect", async () => {
  for (
    const [dtype, format] of [["bfloat16", "bf16"], ["float16", "f16"], ["float32", "f32"], [
      undefined,
      "f32",
    ]]
  ) {
    await using model = await brokenModel("mistral_window", {
      config: { torch_dtype: dtype, dtype: undefined },
    });
    const path = `${model.folder}/model.safetensors`;
    await Deno.truncate(path, 100);
    const expected = { embeddings: format, head: format };
    assertEquals(await formatsIn(model.folder), expected as Awaited<ReturnType<typeof formatsIn>>);
    await Deno.remove(path);
    assertEquals(await formatsIn(model.folder), expected as Awaited<ReturnType<typeof formatsIn>>);
  }
});

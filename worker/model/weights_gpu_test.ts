import { assert, assertEquals, assertRejects } from "@std/assert";
import { brokenModel, changeTensor } from "../../tests/golden/broken_model.ts";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { modelTensors, moduleOf } from "../../shared/model/model_tensors.ts";
import { toFloat32 } from "../../shared/model/safetensors_dtype.ts";
import { testGpu } from "../device/testing/test_gpu.ts";
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { loadBaseWeights } from "./weights.ts";

Deno.test("every weight on the GPU holds the checkpoint's numbers under its name", async () => {
  const gpu = await testGpu();
  const checkpoint = await openCheckpoint(loadLadderCase("qwen2_rslora").modelFolder);
  const { spec } = checkpoint;
  const weights = await loadBaseWeights(gpu, checkpoint, { doubleQuantization: true, slabRows: 50 });
  const floats = async (tensor: typeof weights.finalNorm) => new Float32Array(await gpu.read(tensor));

  for (const tensor of modelTensors(spec)) {
    if (tensor.kind !== "linear") continue;
    const { layer, role, shape: [outFeatures, inFeatures] } = tensor as typeof tensor & {
      shape: [number, number];
    };
    const name = moduleOf(tensor.name);
    const hasBias = ["query", "key", "value"].includes(role);
    const { weight, bias } = weights.layers[layer]!.linears[role]!;
    assert("codes" in weight);
    const stored = await checkpoint.readLinear(name, outFeatures, inFeatures, { doubleQuantization: true });
    assertEquals([weight.rows, weight.columns, weight.doubleQuantized], [outFeatures, inFeatures, true]);
    assertEquals(new Uint8Array(await gpu.read(weight.codes)), stored.codes);
    assertEquals(
      new Uint8Array(await gpu.read(weight.absmax)).slice(0, stored.absmaxCodes!.length),
      stored.absmaxCodes,
    );
    assertEquals([await floats(weight.nestedAbsmax), weight.nestedOffset], [
      stored.nestedAbsmax,
      stored.nestedOffset,
    ]);
    assertEquals(bias !== null, hasBias);
    if (bias !== null) {
      assertEquals(await floats(bias), await checkpoint.readTensor(`${name}.bias`, [outFeatures]));
    }
  }
  const second = weights.layers[1]!.norms;
  assertEquals(
    await floats(second.mlpNorm),
    await checkpoint.readTensor("model.layers.1.post_attention_layernorm.weight", [spec.hiddenSize]),
  );
  const rows = (slabs: typeof weights.head) => slabs.map(({ firstRow, rowCount }) => [firstRow, rowCount]);
  assertEquals(rows(weights.head), [[0, 50], [50, 50], [100, 13]]);
  const head = await checkpoint.readTensor("lm_head.weight", [spec.vocabSize, spec.hiddenSize]);
  // The case stores its tables in f16.
  const last = new Uint8Array(await gpu.read(weights.head[2]!.tensor));
  assertEquals(toFloat32("F16", last), head.slice(100 * spec.hiddenSize));
});

Deno.test("tied embeddings are on the GPU once; single quantisation has its absmax in f32", async () => {
  const gpu = await testGpu();
  const checkpoint = await openCheckpoint(loadLadderCase("gqa_tied").modelFolder);
  const weights = await loadBaseWeights(gpu, checkpoint, { doubleQuantization: false, slabRows: 1000 });
  assertEquals(weights.head === weights.embeddings, true);
  const { weight } = weights.layers[0]!.linears.up!;
  assert("codes" in weight);
  const stored = await checkpoint.readLinear("model.layers.0.mlp.up_proj", 104, 96, {
    doubleQuantization: false,
  });
  assertEquals([weight.doubleQuantized, new Float32Array(await gpu.read(weight.absmax))], [
    false,
    stored.absmax,
  ]);
});

Deno.test("a weight that cannot be quantised fails the loading by name", async () => {
  const weight = "model.layers.0.self_attn.o_proj.weight";
  await using model = await brokenModel("gqa_tied", {
    tensors: changeTensor(weight, (tensor) => {
      const data = new Float32Array(tensor.data.slice().buffer);
      data[9000] = Infinity;
      return { ...tensor, data };
    }),
  });
  const checkpoint = await openCheckpoint(model.folder);
  const load = async () =>
    loadBaseWeights(await testGpu(), checkpoint, { doubleQuantization: true, slabRows: 200 });
  const error = await assertRejects(load, LoraFleetError, "is Infinity");
  assertEquals([error.code, error.param], ["invalid_model", weight]);
});

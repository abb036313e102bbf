import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { type LadderCaseName, loadLadderCase } from "../../../tests/golden/golden.ts";
import { readDeltas } from "../../../shared/checkpoint/merge/adapter_deltas.ts";
import { type MergedModel, openMerged } from "../../../shared/checkpoint/merge/merged_model.ts";
import { planAdapterGguf } from "./adapter_gguf.ts";
import { planGguf, typeFor } from "./gguf_file.ts";
import { planModelGguf } from "./model_gguf.ts";

async function merged(name: LadderCaseName): Promise<MergedModel> {
  const { modelFolder, adapterFolder, lora, doubleQuantization } = loadLadderCase(name);
  const adapterPath = `${adapterFolder}/adapter_model.safetensors`;
  return await openMerged({ modelFolder, adapterPath, lora, doubleQuantization, base: "nf4" });
}

async function joined(file: { bytes(): AsyncIterable<Uint8Array> }): Promise<Uint8Array> {
  return Uint8Array.from((await Array.fromAsync(file.bytes())).flatMap((part) => [...part]));
}

const contains = (bytes: Uint8Array, text: string) => new TextDecoder("latin1").decode(bytes).includes(text);

for (
  const [name, architecture] of [["gqa_tied", "llama"], ["qwen2_rslora", "qwen2"], [
    "qwen3_tied",
    "qwen3",
  ]] as const
) {
  Deno.test(`${name}: a GGUF file is as long as planned, and names its architecture and tensors`, async () => {
    const model = await merged(name);
    for (const type of ["F32", "F16", "Q8_0"] as const) {
      const file = planModelGguf(model, type, "tuned", []);
      const bytes = await joined(file);
      assertEquals(bytes.length, file.totalBytes);
      for (
        const text of [`${architecture}.attention.head_count_kv`, "blk.1.attn_q.weight", "token_embd.weight"]
      ) {
        assert(contains(bytes, text), text);
      }
    }
  });
}

Deno.test("Llama 3's RoPE is a tensor of divisors", async () => {
  const bytes = await joined(planModelGguf(await merged("llama3_sharded"), "F32", "tuned", []));
  assert(contains(bytes, "rope_freqs.weight"));
});

Deno.test("vectors stay in f32, and rows that are no whole blocks become f16", () => {
  assertEquals([typeFor([64], "Q8_0"), typeFor([3, 64], "Q8_0"), typeFor([3, 80], "Q8_0")], [
    "F32",
    "Q8_0",
    "F16",
  ]);
});

Deno.test("a value beyond the type's range is refused by its tensor", async () => {
  const tensor = {
    name: "blk.0.attn_q.weight",
    shape: [1, 2],
    type: "F16",
    pieces: () => [Float32Array.of(1, 7e4)],
  } as const;
  const error = await assertRejects(
    () => joined(planGguf([], [tensor])),
    LoraFleetError,
    "blk.0.attn_q.weight",
  );
  assertEquals(error.param, "quantization");
});

Deno.test("a family that llama.cpp computes otherwise is refused by name", async () => {
  const model = await merged("gqa_tied");
  const spec = { ...model.spec, architecture: "OlmoForCausalLM" };
  assertThrows(
    () => planModelGguf({ ...model, spec }, "F16", "tuned", []),
    LoraFleetError,
    "OlmoForCausalLM",
  );
});

Deno.test("an adapter's GGUF has both tensors of each layer", async () => {
  const { adapterFolder, lora } = loadLadderCase("qwen2_rslora");
  const { spec } = await merged("qwen2_rslora");
  const deltas = readDeltas(`${adapterFolder}/adapter_model.safetensors`, lora);
  const file = planAdapterGguf(spec, deltas, "F32", "tuned");
  const bytes = await joined(file);
  assertEquals(bytes.length, file.totalBytes);
  for (const text of ["adapter.lora.alpha", "blk.0.ffn_down.weight.lora_a", "blk.1.attn_k.weight.lora_b"]) {
    assert(contains(bytes, text), text);
  }
});

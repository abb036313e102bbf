/**
 * The memory and time of exports of a model with the layers and tables of Llama-2-7B, of which it has two layers: the memory does
 * not grow with the number of layers, and the time grows with it.
 *
 *     deno run -A tests/bench/exports/memory.ts
 */
import { fromFileUrl } from "@std/path";
import { openCheckpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import { writeSafetensors } from "../../../shared/checkpoint/safetensors_write.ts";
import { loraSchema } from "../../../shared/job/job_spec_schema.ts";
import { planLora } from "../../../shared/memory/lora_plan.ts";
import { modelTensors } from "../../../shared/model/model_tensors.ts";
import { parseTransformerSpec } from "../../../shared/model/parse_transformer_spec.ts";
import { pcg32 } from "../../../shared/prng.ts";
import { writeAdapter } from "../../../worker/files/adapter_file.ts";
import { parseExportRequest } from "../../../coordinator/exports/record/export_request.ts";

const LAYERS = 2;
const CONFIG = {
  ...{
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    torch_dtype: "bfloat16",
  },
  ...{ hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: LAYERS, num_attention_heads: 32 },
  ...{ num_key_value_heads: 32, vocab_size: 32000, max_position_embeddings: 4096, rms_norm_eps: 1e-5 },
  ...{ tie_word_embeddings: false, bos_token_id: 1, eos_token_id: 2 },
};
const lora = loraSchema.parse({ r: 16, lora_alpha: 32, target_modules: "all-linear" });
const tokenizer = fromFileUrl(new URL("../../golden/data/byte_fallback", import.meta.url));

async function writeModel(folder: string): Promise<void> {
  await Deno.mkdir(folder);
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(CONFIG));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(`${tokenizer}/${name}`, `${folder}/${name}`);
  }
  const random = pcg32(1);
  // Between 1/64 and 1/32, of both signs.
  const noise = Uint16Array.from({ length: 2 ** 16 }, () => (random.uint32() & 0x807f) | 0x3c80);
  const tensors = modelTensors(parseTransformerSpec(CONFIG)).map(({ name, shape }) => {
    const data = new Uint16Array(shape.reduce((product, size) => product * size, 1));
    for (let at = 0; at < data.length; at += noise.length) data.set(noise.subarray(0, data.length - at), at);
    return { name, shape, dtype: "BF16" as const, data: new Uint8Array(data.buffer) };
  });
  await writeSafetensors(`${folder}/model.safetensors`, tensors);
}

/** The process's peak of resident memory so far, in MB. */
function peakOf(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1000;
}

async function measure(body: Record<string, string>, folder: string): Promise<void> {
  const outputFolder = `${folder}/out`;
  await Deno.mkdir(outputFolder);
  const task = {
    request: parseExportRequest(body, 1),
    ...{ modelFolder: `${folder}/model`, modelName: "model", lora, outputFolder, name: "tuned", card: "" },
    ...{ tokenizerFiles: [], adapterPath: `${folder}/adapter/adapter_model.safetensors` },
    ...{ adapterConfigPath: `${folder}/adapter/adapter_config.json`, doubleQuantization: true },
  };
  const startedAt = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "-q", "--no-check", "--v8-flags=--max-old-space-size=1024"].concat(
      fromFileUrl(new URL("../../../coordinator/exports/process/export_process.ts", import.meta.url)),
    ),
    ...{ stdin: "piped", stdout: "piped", stderr: "inherit" },
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(`${JSON.stringify(task)}\n`));
  let [text, peak] = ["", 0];
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += part;
    peak = Math.max(peak, peakOf(child.pid));
  }
  await writer.close().catch(() => {});
  const seconds = (performance.now() - startedAt) / 1000;
  const outcome = JSON.parse(text.trim().split("\n").at(-1)!);
  const bytes = (outcome.files ?? []).reduce((sum: number, { size }: { size: number }) => sum + size, 0);
  const title = Object.values(body).join(" ").padEnd(22);
  console.log(
    `${title} ${outcome.type} ${(bytes / 1e6).toFixed(0).padStart(6)} MB in ${
      seconds.toFixed(0).padStart(4)
    } s, ` +
      `peak of resident memory ${peak.toFixed(0)} MB`,
  );
  await Deno.remove(outputFolder, { recursive: true });
}

const folder = await Deno.makeTempDir({ prefix: "lorafleet-export-memory-" });
try {
  await writeModel(`${folder}/model`);
  const { layout } = planLora((await openCheckpoint(`${folder}/model`)).spec, lora);
  const random = pcg32(2);
  const tensors = layout.tensors.map(({ name, shape }) => ({
    ...{ name, shape },
    data: Float32Array.from({ length: shape[0] * shape[1] }, () => 0.01 * random.uniform()),
  }));
  await writeAdapter(`${folder}/adapter`, { tensors, lora, baseModelName: "model" });
  console.log(`Llama-2-7B's layer sizes, ${LAYERS} of its 32 layers, r 16, all linear layers, bf16`);
  await measure({ kind: "merged", base: "nf4" }, folder);
  await measure({ kind: "merged", base: "original" }, folder);
  await measure({ kind: "gguf", quantization: "Q8_0" }, folder);
} finally {
  await Deno.remove(folder, { recursive: true });
}

/**
 * Writes all exports of an adapter, one process each as the coordinator does, and prints what each took:
 *
 *     deno run -A tests/bench/exports/main.ts --model <folder> --adapter <folder> --out <folder>
 *
 * check_transformers.py and check_llama_cpp.py then compare their answers with those of the trained model.
 */
import { parseArgs } from "node:util";
import { parseAdapterConfig } from "../../../worker/files/adapter_config_read.ts";
import { isTokenizerFile } from "../../../coordinator/jobs/results/tokenizer_results.ts";
import { runExportChild } from "../../../coordinator/exports/process/export_child.ts";
import { parseExportRequest } from "../../../coordinator/exports/record/export_request.ts";
import type { ExportKind } from "../../../shared/job/export_kinds.ts";

const EXPORTS: readonly (readonly [folder: string, body: Record<string, string> & { kind: ExportKind }])[] = [
  ["merged-nf4-bfloat16", { kind: "merged" }],
  ["merged-nf4-float32", { kind: "merged", dtype: "float32" }],
  ["merged-original-bfloat16", { kind: "merged", base: "original" }],
  ["gguf-nf4-f16", { kind: "gguf" }],
  ["gguf-nf4-q8", { kind: "gguf", quantization: "Q8_0" }],
  ["gguf-adapter", { kind: "adapter_gguf" }],
];

const { values } = parseArgs({
  options: { model: { type: "string" }, adapter: { type: "string" }, out: { type: "string" } },
});
const [model, adapter, out] = [values.model!, values.adapter!, values.out!];
const configPath = `${adapter}/adapter_config.json`;
const { lora } = parseAdapterConfig(configPath, await Deno.readTextFile(configPath));
const names = (await Array.fromAsync(Deno.readDir(model))).map(({ name }) => name);

for (const [folder, body] of EXPORTS) {
  const outputFolder = `${out}/${folder}`;
  await Deno.remove(outputFolder, { recursive: true }).catch(() => {});
  await Deno.mkdir(outputFolder, { recursive: true });
  const startedAt = performance.now();
  const files = await runExportChild({
    request: parseExportRequest(body, 1),
    ...{ modelFolder: model, modelName: model, lora, outputFolder, name: "tuned", card: "" },
    tokenizerFiles: names.filter(isTokenizerFile).sort(),
    adapterPath: `${adapter}/adapter_model.safetensors`,
    adapterConfigPath: configPath,
    doubleQuantization: true,
  }, { signal: new AbortController().signal, onMessage: () => {} });
  const seconds = (performance.now() - startedAt) / 1000;
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  console.log(
    `${folder.padEnd(26)} ${seconds.toFixed(1).padStart(6)} s ${(bytes / 1e6).toFixed(1).padStart(8)} MB`,
  );
}

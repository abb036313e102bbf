/** Writes the files of an export: what each kind consists of. */
import { openCheckpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import { loadTokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { ggufModelName } from "../../../shared/gguf/tokenizer/model_name.ts";
import { tokenizerMetadata } from "../../../shared/gguf/tokenizer/tokenizer_metadata.ts";
import { planAdapterGguf } from "../gguf/adapter_gguf.ts";
import { chatOf } from "../gguf/chat_of_model.ts";
import { modelfile } from "../gguf/modelfile.ts";
import { planModelGguf } from "../gguf/model_gguf.ts";
import { readDeltas } from "../../../shared/checkpoint/merge/adapter_deltas.ts";
import { planMergedFiles } from "../merge/write_merged.ts";
import { mergedDtypeOf, openMerged } from "../../../shared/checkpoint/merge/merged_model.ts";
import { derivedGenerationConfig, mergedConfig } from "../merge/model_configs.ts";
import type { ExportKind } from "../../../shared/job/export_kinds.ts";
import type { ExportMessage, ExportTask } from "./export_messages.ts";
import { assertRoomFor, freeBytesOf } from "../files/free_space.ts";
import { openOutputFolder, type OutputFolder, type WrittenFile } from "../files/output_folder.ts";

/** Files that are ready to be written: their size is known, their bytes are not made yet. */
interface PlannedFiles {
  readonly bytes: number;
  write(output: OutputFolder): Promise<void>;
}

const PLANS: Readonly<Record<ExportKind, (task: ExportTask) => Promise<PlannedFiles>>> = {
  merged: planMerged,
  gguf: planGgufModel,
  adapter_gguf: planGgufAdapter,
  adapter: planAdapter,
};

interface RunOptions {
  readonly report: (message: Extract<ExportMessage, { type: "planned" | "progress" }>) => void;
  /** Lets the process notice that its coordinator is gone: the work itself never returns to the event loop. */
  readonly pause?: () => Promise<void>;
  readonly freeBytes?: (folder: string) => number;
}

/** @throws LoraFleetError `storage` before anything is written if the disk lacks room, and what the kinds throw */
export async function runExport(task: ExportTask, options: RunOptions): Promise<readonly WrittenFile[]> {
  const { report, pause, freeBytes = freeBytesOf } = options;
  const planned = await PLANS[task.request.kind](task);
  const copies = task.tokenizerFiles.map((name) => Deno.statSync(`${task.modelFolder}/${name}`).size);
  const bytes = planned.bytes + task.card.length + copies.reduce((sum, size) => sum + size, 0);
  assertRoomFor(bytes, freeBytes(task.outputFolder), task.reserveBytes);
  report({ type: "planned", bytes });
  const output = openOutputFolder(task.outputFolder, {
    bytesNeeded: bytes,
    async onBytes(done) {
      report({ type: "progress", bytes: done });
      await pause?.();
    },
  });
  await planned.write(output);
  await output.text("README.md", task.card);
  return output.files.toSorted((a, b) => a.name < b.name ? -1 : 1);
}

async function planMerged(task: ExportTask): Promise<PlannedFiles> {
  const { request, modelFolder, tokenizerFiles } = task;
  const model = await openMerged({ ...task, base: request.base ?? "nf4" });
  const dtype = mergedDtypeOf(model, request.dtype);
  const weights = planMergedFiles(model, dtype);
  const configText = await Deno.readTextFile(`${modelFolder}/config.json`);
  const generation = await readIfThere(`${modelFolder}/generation_config.json`);
  return {
    bytes: weights.totalBytes + 2 * configText.length,
    async write(output) {
      await weights.write(output);
      await output.text("config.json", mergedConfig(configText, dtype, model.spec));
      await output.text("generation_config.json", generation ?? derivedGenerationConfig(configText));
      for (const name of tokenizerFiles) await output.copy(name, `${modelFolder}/${name}`);
    },
  };
}

async function planGgufModel(task: ExportTask): Promise<PlannedFiles> {
  const { request, modelFolder, name } = task;
  const model = await openMerged({ ...task, base: request.base ?? "nf4" });
  const tokenizer = await tokenizerMetadata(modelFolder, model.spec.vocabSize);
  const type = request.quantization ?? "F16";
  const loaded = await loadTokenizer(modelFolder);
  const gguf = planModelGguf(model, type, ggufModelName(name, loaded.addedTokens), tokenizer);
  const filename = `${name}-${type}.gguf`;
  const ollama = modelfile(`./${filename}`, null, chatOf(loaded));
  return {
    bytes: gguf.totalBytes + ollama.length,
    async write(output) {
      await output.write(filename, gguf.bytes());
      await output.text("Modelfile", ollama);
    },
  };
}

async function planGgufAdapter(task: ExportTask): Promise<PlannedFiles> {
  const { request, modelFolder, name, adapterPath, lora, modelName } = task;
  const { spec } = await openCheckpoint(modelFolder);
  const type = request.quantization === "F16" ? "F16" : "F32";
  const gguf = planAdapterGguf(spec, readDeltas(adapterPath, lora), type, name);
  const filename = `${name}-lora-${type}.gguf`;
  const ollama = modelfile(modelName, `./${filename}`, chatOf(await loadTokenizer(modelFolder)));
  return {
    bytes: gguf.totalBytes + ollama.length,
    async write(output) {
      await output.write(filename, gguf.bytes());
      await output.text("Modelfile", ollama);
    },
  };
}

/** The adapter as PEFT saves it, with the tokenizer and the model card beside it. */
function planAdapter(task: ExportTask): Promise<PlannedFiles> {
  const { adapterPath, adapterConfigPath, modelFolder, tokenizerFiles } = task;
  return Promise.resolve({
    bytes: Deno.statSync(adapterPath).size + Deno.statSync(adapterConfigPath).size,
    async write(output) {
      await output.copy("adapter_model.safetensors", adapterPath);
      await output.copy("adapter_config.json", adapterConfigPath);
      for (const name of tokenizerFiles) await output.copy(name, `${modelFolder}/${name}`);
    },
  });
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return null;
    throw thrown;
  }
}

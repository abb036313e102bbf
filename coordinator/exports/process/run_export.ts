/** Writes the files of an export: what each kind consists of. */
import { planMergedFiles } from "../merge/write_merged.ts";
import { openMerged } from "../merge/merged_model.ts";
import { derivedGenerationConfig, mergedConfig } from "../merge/model_configs.ts";
import type { MergedDtype } from "../merge/round.ts";
import type { ExportKind } from "../record/export_request.ts";
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
  adapter: planAdapter,
};

interface RunOptions {
  readonly report: (message: Extract<ExportMessage, { type: "planned" | "progress" }>) => void;
  readonly freeBytes?: (folder: string) => number;
}

/** @throws LoraFleetError `storage` before anything is written if the disk lacks room, and what the kinds throw */
export async function runExport(task: ExportTask, options: RunOptions): Promise<readonly WrittenFile[]> {
  const { report, freeBytes = freeBytesOf } = options;
  const planned = await PLANS[task.request.kind](task);
  const copies = task.tokenizerFiles.map((name) => Deno.statSync(`${task.modelFolder}/${name}`).size);
  const bytes = planned.bytes + task.card.length + copies.reduce((sum, size) => sum + size, 0);
  assertRoomFor(bytes, freeBytes(task.outputFolder));
  report({ type: "planned", bytes });
  const output = openOutputFolder(task.outputFolder, {
    bytesNeeded: bytes,
    onBytes: (done) => report({ type: "progress", bytes: done }),
  });
  await planned.write(output);
  await output.text("README.md", task.card);
  return output.files.toSorted((a, b) => a.name < b.name ? -1 : 1);
}

async function planMerged(task: ExportTask): Promise<PlannedFiles> {
  const { request, modelFolder, tokenizerFiles } = task;
  const model = await openMerged({ ...task, base: request.base ?? "nf4" });
  const dtype: MergedDtype = request.dtype ?? model.spec.torchDtype ?? model.storedDtype;
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

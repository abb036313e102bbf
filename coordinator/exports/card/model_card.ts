/** README.md of an export: the hub's model card, made from the job, and how to load what lies beside it. */
import type { ExportRequest } from "../record/export_request.ts";
import { type CardInput, hyperparameters } from "./card_facts.ts";
import { loadingText } from "./loading.ts";

export function modelCard(input: CardInput): string {
  const { job, request, name } = input;
  const base = input.hubName === null
    ? job.spec.model
    : `[${input.hubName}](https://huggingface.co/${input.hubName})`;
  const sections = [
    header(input),
    `# ${name}`,
    `${
      WHAT[request.kind](base)
    } Trained by the job \`${job.id}\` of lorafleet with QLoRA, up to step ${request.step}.`,
    "## How to load it",
    loadingText(input),
    "## Training",
    trainingText(input),
  ];
  return `${sections.join("\n\n")}\n`;
}

const WHAT: Readonly<Record<ExportRequest["kind"], (base: string) => string>> = {
  merged: (base) => `${base} with a LoRA adapter merged into its weights.`,
  gguf: (base) => `${base} with a LoRA adapter merged into its weights, as GGUF for llama.cpp and Ollama.`,
  adapter_gguf: (base) => `A LoRA adapter for ${base}, as GGUF for llama.cpp and Ollama.`,
  adapter: (base) => `A LoRA adapter for ${base}.`,
};

/** The hub reads these fields: https://huggingface.co/docs/hub/model-cards. */
function header({ job, request, hubName }: CardInput): string {
  const dataset = job.spec.dataset.path;
  const isAdapter = request.kind.startsWith("adapter");
  const library = request.kind.endsWith("gguf") ? "llama.cpp" : isAdapter ? "peft" : "transformers";
  const lines = [
    ...hubName === null
      ? []
      : [`base_model: ${hubName}`, `base_model_relation: ${isAdapter ? "adapter" : "finetune"}`],
    `library_name: ${library}`,
    "pipeline_tag: text-generation",
    ...dataset === undefined ? [] : ["datasets:", `- ${dataset}`],
    "tags:",
    ...["lorafleet", "qlora", "lora", "text-generation"].map((tag) => `- ${tag}`),
  ];
  return `---\n${lines.join("\n")}\n---`;
}

function trainingText({ job, losses, trainingFilename }: CardInput): string {
  const { path, split, revision } = job.spec.dataset;
  const onHub = `[${path}](https://huggingface.co/datasets/${path}), split \`${split}\``;
  const file = trainingFilename === null ? "a file that is deleted" : `\`${trainingFilename}\``;
  const data = path === undefined
    ? file
    : onHub + (revision === undefined ? "" : `, revision \`${revision}\``);
  const { firstTrainLoss, lastTrainLoss, evalLoss } = losses;
  const results = [
    ["first training loss", firstTrainLoss],
    ["last training loss", lastTrainLoss],
    ["loss on the validation rows", evalLoss],
  ].filter((row): row is [string, number] => typeof row[1] === "number");
  return [
    `Data: ${data}.`,
    ...results.length === 0 ? [] : [table(results.map(([name, loss]) => [name, loss.toFixed(4)]))],
    table(hyperparameters(job).map(([name, value]) => [name, cell(value)])),
  ].join("\n\n");
}

function table(rows: readonly (readonly [string, string])[]): string {
  return ["| | |", "| --- | --- |", ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join("\n");
}

function cell(value: unknown): string {
  const text = Array.isArray(value)
    ? value.join(", ")
    : typeof value === "string"
    ? value
    : JSON.stringify(value);
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

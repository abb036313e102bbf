/** What to do with the results, as lines to paste. */
import type { ExportKind } from "../../shared/job/export_kinds.ts";
import { parseHubName } from "../../shared/hub/repo_name.ts";
import { isPissa, resultRanks } from "../../shared/job/pissa.ts";
import { vllmRank } from "../../shared/job/vllm_rank.ts";
import type { Job } from "../client/api_client.ts";

export interface Results {
  readonly model: string;
  readonly outFolder: string;
  readonly exports: readonly ExportKind[];
  readonly job: Pick<Job, "lora" | "quantization">;
}

/** vLLM takes the revision apart from the id. */
function served(model: string): string {
  const name = model.includes("@") ? parseHubName(model) : null;
  return name === null ? model : `${name.repo} --revision ${name.revision}`;
}

export function nextSteps({ model, outFolder, exports, job: { lora, quantization } }: Results): string {
  const isDouble = quantization.bnb_4bit_use_double_quant ? "True" : "False";
  const folder = JSON.stringify(outFolder);
  const lines = [
    `The adapter lies in ${outFolder}. To use it:`,
    "",
    "  PEFT   from peft import AutoPeftModelForCausalLM",
    // A PiSSA job's result is for the weights that were taken apart, not for their NF4 form.
    ...isPissa(lora)
      ? [`         model = AutoPeftModelForCausalLM.from_pretrained(${folder}, dtype="auto")`]
      : [
        "         from transformers import BitsAndBytesConfig",
        `         nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=${isDouble})`,
        `         model = AutoPeftModelForCausalLM.from_pretrained(${folder}, quantization_config=nf4)`,
      ],
    `  vLLM   vllm serve ${served(model)} --enable-lora --max-lora-rank ${
      vllmRank(resultRanks(lora))
    } --lora-modules tuned=${outFolder}`,
    `  here   deno task evaluate --model ${model} --adapter ${outFolder} --dataset <file> --side-by-side`,
  ];
  if (exports.includes("merged")) lines.push(`  merged vllm serve ${outFolder}/merged`);
  if (exports.includes("gguf")) {
    lines.push(`  Ollama cd ${outFolder}/gguf && ollama create tuned -f Modelfile`);
  }
  return lines.join("\n");
}

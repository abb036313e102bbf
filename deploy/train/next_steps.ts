/** What to do with the results, as lines to paste. */

export interface Results {
  readonly model: string;
  readonly outFolder: string;
  readonly exports: readonly string[];
}

export function nextSteps({ model, outFolder, exports }: Results): string {
  const lines = [
    `The adapter lies in ${outFolder}. To use it:`,
    "",
    "  PEFT   from peft import AutoPeftModelForCausalLM",
    `         model = AutoPeftModelForCausalLM.from_pretrained(${
      JSON.stringify(outFolder)
    }, load_in_4bit=True)`,
    `  vLLM   vllm serve ${model} --enable-lora --lora-modules tuned=${outFolder}`,
    `  here   deno task evaluate --model ${model} --adapter ${outFolder} --dataset <file>`,
  ];
  if (exports.includes("merged")) lines.push(`  merged vllm serve ${outFolder}/merged`);
  if (exports.includes("gguf")) {
    lines.push(`  Ollama cd ${outFolder}/gguf && ollama create tuned -f Modelfile`);
  }
  return lines.join("\n");
}

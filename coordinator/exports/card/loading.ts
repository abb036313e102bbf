/** The lines that load an export in the tools it is for. */
import { isPissa, resultRanks } from "../../../shared/job/pissa.ts";
import { vllmRank } from "../../../shared/job/vllm_rank.ts";
import type { ExportRequest } from "../record/export_request.ts";
import type { CardInput } from "./card_facts.ts";

export function loadingText(input: CardInput): string {
  return TEXTS[input.request.kind](input);
}

const code = (language: string, text: string) => `\`\`\`${language}\n${text}\n\`\`\``;

const TEXTS: Readonly<Record<ExportRequest["kind"], (input: CardInput) => string>> = {
  merged: ({ request }) =>
    [
      "transformers:",
      code(
        "python",
        `from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForCausalLM.from_pretrained(".", dtype="auto")`,
      ),
      "vLLM:",
      code("sh", "vllm serve ."),
      baseText(request),
    ].join("\n\n"),

  gguf: ({ request, name }) =>
    [
      code(
        "sh",
        `llama-cli -m ${name}-${request.quantization}.gguf
ollama create ${name} -f Modelfile`,
      ),
      baseText(request),
    ].join("\n\n"),

  adapter_gguf: ({ request, name }) =>
    [
      "With a GGUF file of the base model:",
      code("sh", `llama-cli -m base.gguf --lora ${name}-lora-${request.quantization}.gguf`),
      "For Ollama, name the base model in the line `FROM` of the Modelfile: a model of Ollama's, or a GGUF file.",
      code("sh", `ollama create ${name} -f Modelfile`),
    ].join("\n\n"),

  adapter: ({ job }) =>
    [
      ...isPissa(job.spec.lora) ? pissaTexts(job) : [
        "PEFT, on the base model in NF4, which is what the adapter was trained on:",
        code("python", nf4Lines(job.spec.model, job.spec.quantization.bnb_4bit_use_double_quant)),
        "On the base model in 16 bits the answers differ somewhat, because those weights are not the ones that the adapter " +
        "was trained on. vLLM serves it there:",
      ],
      code(
        "sh",
        `vllm serve ${job.spec.model} --enable-lora --max-lora-rank ${
          vllmRank(resultRanks(job.spec.lora))
        } --lora-modules tuned=.`,
      ),
    ].join("\n\n"),
};

function pissaTexts({ spec: { model, lora } }: CardInput["job"]): string[] {
  return [
    `The adapter was trained by PiSSA (\`${lora.init_lora_weights}\`) on what its start left of the base model's weights, in ` +
    "NF4, and is converted to a LoRA of twice the rank for the base model itself, as PEFT's " +
    "`path_initial_model_for_weight_conversion` does it. PEFT, on the base model in 16 bits:",
    code("python", plainLines(model)),
    "The answers differ somewhat from those of the trained model, whose weights went through NF4; the merged model with " +
    "base `nf4` is the trained one. vLLM serves the adapter:",
  ];
}

function plainLines(model: string): string {
  return `from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("${model}", dtype="auto")
model = PeftModel.from_pretrained(base, ".")
tokenizer = AutoTokenizer.from_pretrained(".")`;
}

function nf4Lines(model: string, doubleQuantization: boolean): string {
  return `import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

quantization = BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=${doubleQuantization ? "True" : "False"}, bnb_4bit_compute_dtype=torch.float32,
)
base = AutoModelForCausalLM.from_pretrained("${model}", quantization_config=quantization, dtype=torch.float32)
model = PeftModel.from_pretrained(base, ".")
tokenizer = AutoTokenizer.from_pretrained(".")`;
}

export function baseText({ base }: ExportRequest): string {
  return base === "original"
    ? "The adapter is merged into the base model's original weights. It was trained on their NF4 form, so the answers may " +
      "differ from those of the trained model."
    : "The adapter is merged into the values that NF4 gives the base model's weights: these are the weights that it was " +
      "trained on.";
}

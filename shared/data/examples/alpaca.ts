/** Alpaca rows: `instruction`, perhaps `input`, and `output`, with the prompts of Stanford's train.py. */
import { invalidLine } from "../rows/row.ts";
import { quoteValue } from "../rows/quote_value.ts";
import { refuseLoneSurrogates } from "../rows/surrogates.ts";
import type { PyValue } from "../../python/values/value.ts";

/** Throws a `LoraFleetError` with code `invalid_dataset` for a field that is not a text. An input of "" is none. */
export function readAlpaca(
  line: number,
  fields: ReadonlyMap<string, PyValue>,
): { readonly kind: "completion"; readonly prompt: string; readonly completion: string } {
  const [instruction, input, output] = ["instruction", "input", "output"].map((name) => {
    const value = fields.get(name) ?? "";
    if (typeof value !== "string") {
      throw invalidLine(line, `has the "${name}" ${quoteValue(value)}; a text is needed`);
    }
    refuseLoneSurrogates(line, `"${name}"`, value);
    return value;
  }) as [string, string, string];
  return { kind: "completion", prompt: alpacaPrompt(instruction, input), completion: output };
}

/** `PROMPT_DICT` of tatsu-lab/stanford_alpaca: the completion follows the last colon without a space. */
function alpacaPrompt(instruction: string, input: string): string {
  return input === ""
    ? "Below is an instruction that describes a task. " +
      "Write a response that appropriately completes the request.\n\n" +
      `### Instruction:\n${instruction}\n\n### Response:`
    : "Below is an instruction that describes a task, paired with an input that provides further context. " +
      "Write a response that appropriately completes the request.\n\n" +
      `### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:`;
}

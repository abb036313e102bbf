/** Rows of plain text, and of prompt and completion → token ids and their completion mask. */
import { counted } from "../../counted.ts";
import { quote } from "../../errors.ts";
import type { DatasetSpec } from "../../job/job_spec_schema.ts";
import { commonPrefix } from "../chat/turns/lexemes.ts";
import type { Example } from "../packing/example.ts";
import { refuseLoneSurrogates } from "../rows/surrogates.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { createResponseMasks } from "./responses.ts";
import type { RowWarnings } from "./row_warnings.ts";

export interface BuilderSpec extends BuilderFields {
  /** The rows are evaluated, where weights do not count: they may be absent. */
  readonly isEvaluated?: boolean;
}

type BuilderFields = Pick<
  DatasetSpec,
  | "text_field"
  | "column_mapping"
  | "completion_only_loss"
  | "assistant_only_loss"
  | "instruction_template"
  | "response_template"
  | "split_special_tokens"
  | "weight_field"
  | "message_weight_field"
>;

interface TextExamples {
  fromText(line: number, text: string): Example;
  fromCompletion(line: number, prompt: string, completion: string): Example;
}

export function createTextExamples(
  tokenizer: Tokenizer,
  spec: BuilderSpec,
  warnings: RowWarnings,
): TextExamples {
  const splitSpecialTokens = spec.split_special_tokens;
  const maskResponses = createResponseMasks(tokenizer, spec);
  const { bos, eos } = tokenizer.specialTokens;
  const eosId = tokenizer.eosTokenIds[0] ?? null;
  /** The stop token's string at the end of a text means the stop token: TRL does not append a second one. */
  const withoutStop = (text: string) =>
    eos !== null && text.endsWith(eos) ? text.slice(0, -eos.length) : text;
  /** The ids of `whole`, which is `body` or ends with the stop token's string, and the stop token unless it ends them. */
  const encode = (line: number, whole: string, body: string): number[] => {
    // Plain text that begins with BOS was formatted for a tokenizer that reads it as a token.
    if (splitSpecialTokens && bos !== null && whole.trimStart().startsWith(bos)) {
      warnings.note("written specials", line, quote(bos));
    } else if (splitSpecialTokens) noteSpecials(tokenizer, warnings, line, [body]);
    const ids = tokenizer.encode(body, { splitSpecialTokens });
    return eosId === null || (body === whole && ids.at(-1) === eosId) ? ids : [...ids, eosId];
  };
  return {
    fromText(line, text) {
      refuseLoneSurrogates(line, quote(spec.text_field), text);
      const body = withoutStop(text);
      const ids = encode(line, text, body);
      const completionMask = maskResponses?.(line, body, ids) ?? new Uint8Array(ids.length).fill(1);
      return { tokens: Uint32Array.from(ids), completionMask };
    },
    fromCompletion(line, prompt, completion) {
      refuseLoneSurrogates(line, `"prompt"`, prompt);
      refuseLoneSurrogates(line, `"completion"`, completion);
      const tokens = encode(line, prompt + completion, prompt + withoutStop(completion));
      const completionMask = new Uint8Array(tokens.length).fill(1);
      if (spec.completion_only_loss) {
        const promptIds = tokenizer.encode(prompt, { splitSpecialTokens });
        // As in TRL, the completion starts at the first token that differs: the prompt's last ones may have merged with it.
        const shared = commonPrefix(promptIds, tokens);
        if (shared < promptIds.length) warnings.note("split prompt", line);
        completionMask.fill(0, 0, shared);
      }
      return { tokens: Uint32Array.from(tokens), completionMask };
    },
  };
}

/** Notes that a text has the string of a special token in it. */
export function noteSpecials(
  tokenizer: Tokenizer,
  warnings: RowWarnings,
  line: number,
  texts: Iterable<string>,
): void {
  for (const text of texts) {
    if (tokenizer.specialText.includes(text)) return warnings.note("special text", line);
  }
}

export function whyUntrained({ tokens }: Example): string {
  if (tokens.length < 2) {
    return `has ${counted(tokens.length, "token")}, and the first one is never predicted; it trains nothing`;
  }
  return "has an empty completion; it trains nothing";
}

/**
 * Plain text in which templates mark who speaks (`dataset.response_template`, `dataset.instruction_template`): only what
 * follows a response template is trained, up to the next instruction template. The rule is Unsloth's
 * `train_on_responses_only` and, where instructions and responses take turns, TRL's `DataCollatorForCompletionOnlyLM` (up to
 * TRL 0.19). Both look for the template's tokens; here the template is found in the text, so that it does not matter whether
 * its first or last character has merged with a neighbour into one token.
 */
import { LoraFleetError, quote } from "../../errors.ts";
import type { DatasetSpec } from "../../job/job_spec_schema.ts";
import { isSeamless } from "../chat/masks/anchors.ts";
import { createTokenCount } from "../chat/masks/token_count.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

type Templates = Pick<DatasetSpec, "instruction_template" | "response_template" | "split_special_tokens">;

/** A row without the response template; it has nothing to train, and may be left out of a dataset. */
export class ResponseNotFoundError extends LoraFleetError {}

/** Characters [start, end) of each response. Without an instruction template the last response counts, as in TRL. */
export function responsesIn(
  text: string,
  response: string,
  instruction: string | undefined,
): [start: number, end: number][] {
  if (instruction === undefined) {
    const last = text.lastIndexOf(response);
    return last === -1 ? [] : [[last + response.length, text.length]];
  }
  const found: [number, number][] = [];
  for (let at = text.indexOf(response); at !== -1;) {
    const start = at + response.length;
    const next = text.indexOf(instruction, start);
    const end = next === -1 ? text.length : next;
    found.push([start, end]);
    at = text.indexOf(response, end);
  }
  return found;
}

/**
 * The completion mask of a text's tokens, which may stand between those that the tokenizer puts around it.
 * Throws a `ResponseNotFoundError` with code `invalid_dataset`.
 */
export type MaskResponses = (line: number, text: string, ids: readonly number[]) => Uint8Array;

/** Null if the job trains on all of its texts. */
export function createResponseMasks(tokenizer: Tokenizer, templates: Templates): MaskResponses | null {
  const { response_template: response, instruction_template: instruction, split_special_tokens: splits } =
    templates;
  if (response === undefined) return null;
  /** Computed after the first row is tokenised: a bounded tokenizer measures the first text that a row hands it. */
  let seamless: boolean | null = null;
  return (line, text, ids) => {
    const responses = responsesIn(text, response, instruction);
    if (responses.length === 0) throw notFound(line, text, response);
    seamless ??= isSeamless(tokenizer);
    const hiding = splits ? tokenizer.specialText.hidingFor(text) : null;
    const hidden = hiding === null ? text : hiding.hide(text);
    const offsetIn = offsetsIn(text, hidden);
    const options = {
      addSpecialTokens: false,
      splitSpecialTokens: false,
      ...hiding === null ? {} : { hiding },
    };
    const encode = (part: string) => tokenizer.encode(part, options);
    const own = encode(hidden);
    const before = placeOf(own, ids);
    const tokens = createTokenCount({
      ...{ text: hidden, ids: own, encode, anchors: [], isSeamless: seamless },
      decode: (some) => tokenizer.decode(some),
      reveal: (part) => hiding === null ? part : hiding.reveal(part),
    });
    const mask = new Uint8Array(ids.length);
    for (const [start, end] of responses) {
      const first = before + tokens.before(offsetIn(start)).count;
      // What ends the text (the stop token) belongs to the last response.
      mask.fill(1, first, end === text.length ? ids.length : before + tokens.before(offsetIn(end)).count);
    }
    return mask;
  };
}

/** Where the text's own tokens begin among those of the whole document. */
function placeOf(own: readonly number[], ids: readonly number[]): number {
  for (let place = 0; place + own.length <= ids.length; place++) {
    if (own.every((id, index) => ids[place + index] === id)) return place;
  }
  throw new Error("a text's tokens are not among its document's");
}

/** From offsets in a text to those in the same text with special tokens hidden: a substitute is two UTF-16 units long. */
function offsetsIn(text: string, hidden: string): (offset: number) => number {
  if (hidden === text) return (offset) => offset;
  const places = new Uint32Array(text.length + 1);
  let [from, to] = [0, 0];
  for (const character of text) {
    to += hidden.startsWith(character, to) ? character.length : 2;
    from += character.length;
    places[from] = to;
  }
  return (offset) => places[offset]!;
}

function notFound(line: number, text: string, response: string): ResponseNotFoundError {
  return new ResponseNotFoundError(
    "invalid_dataset",
    `dataset: line ${line} does not contain dataset.response_template, ${quote(response)}; its text is ${
      quote(text)
    }`,
    { param: `line ${line}` },
  );
}

/**
 * The weights of messages in the loss. OpenAI's `weight` is 0 (context) or 1; a job that names a key of its own
 * (`dataset.message_weight_field`, which may be `weight` itself) has any number from 0 on there.
 */
import { LoraFleetError, quote } from "../../../errors.ts";
import type { PyValue } from "../../../python/values/value.ts";
import { quoteValue } from "../../rows/quote_value.ts";
import { invalidLine } from "../../rows/row.ts";
import type { TemplateMessage } from "../template/chat_template.ts";
import { roleOf } from "./messages.ts";

/** As of rows. */
const MAX_WEIGHT = 1000;
/** OpenAI's key. */
const OPENAI = "weight";

export interface MessageWeights {
  /** Whether messages have weights of their own, beside OpenAI's. */
  readonly isChosen: boolean;
  /**
   * The weight of each message, in f32: 0 for an assistant's message that is context, 1 for all others'. Throws
   * `invalid_dataset` for what is no weight, naming the line and the message.
   */
  of(line: number, field: string, messages: readonly TemplateMessage[]): number[];
  /** Whether a message had the key. */
  isFound(): boolean;
  /** A message that others read had it. */
  setFound(): void;
  /** After the last row. Throws `invalid_dataset` if no message had the key. */
  finish(): void;
}

/** @param key undefined: OpenAI's rule alone */
export function createMessageWeights(key: string | undefined): MessageWeights {
  let isFound = false;
  const own = (line: number, place: string, message: TemplateMessage): number => {
    const value = key === undefined ? undefined : message.get(key);
    if (value === undefined || value === null) return 1;
    isFound = true;
    const weight = numberOf(value);
    if (!(weight === 0 || Math.fround(weight) > 0 && weight <= MAX_WEIGHT)) {
      throw invalidLine(
        line,
        `has the ${quote(key)} ${
          quoteValue(value)
        } in ${place} (dataset.message_weight_field); a number from 0 to ` +
          `${MAX_WEIGHT} is needed`,
      );
    }
    if (roleOf(message) !== "assistant" && weight !== 0 && weight !== 1) {
      throw invalidLine(
        line,
        `has the ${quote(key)} ${
          quoteValue(value)
        } in ${place} (dataset.message_weight_field), whose role is ` +
          `${quote(roleOf(message))}; only messages of "assistant" have a weight`,
      );
    }
    return Math.fround(weight);
  };
  return {
    isChosen: key !== undefined,
    of: (line, field, messages) =>
      messages.map((message, index) => {
        const place = `message ${index + 1} of ${quote(field)}`;
        const weight = own(line, place, message);
        const isContext = key !== OPENAI && isZeroByOpenAi(line, place, message.get(OPENAI));
        return roleOf(message) !== "assistant" ? 1 : isContext ? 0 : weight;
      }),
    isFound: () => isFound,
    setFound: () => isFound = true,
    finish() {
      if (key === undefined || isFound) return;
      const message =
        `dataset.message_weight_field is ${
          quote(key)
        }, but no message has that key; leave it out or name the key of ` +
        "the messages' weights";
      throw new LoraFleetError("invalid_dataset", message, { param: "dataset.message_weight_field" });
    },
  };
}

function isZeroByOpenAi(line: number, place: string, weight: PyValue | undefined): boolean {
  const value = weight === undefined ? 1 : numberOf(weight);
  if (value === 0 || value === 1) return value === 0;
  const isReal = value > 0 && value <= MAX_WEIGHT;
  const hint = isReal ? ', or the job\'s dataset.message_weight_field set to "weight"' : "";
  throw invalidLine(
    line,
    `has the weight ${quoteValue(weight)} in ${place}; 0 or 1 is needed${hint}`,
  );
}

/** NaN for what is no number: a truth value, a text. */
function numberOf(value: PyValue): number {
  return typeof value === "bigint" || typeof value === "number" ? Number(value) : NaN;
}

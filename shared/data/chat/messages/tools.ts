/** What a row gives its chat template beside the messages: tools and further variables. */
import { messageOf, quote } from "../../../errors.ts";
import { invalidLine } from "../../rows/row.ts";
import { withoutNulls, withoutSchemaNulls } from "../../rows/nulls.ts";
import { parseJson } from "../../../python/json/parse_json.ts";
import type { PyValue } from "../../../python/values/value.ts";
import { quoteValue } from "../../rows/quote_value.ts";

/**
 * The tools of a row: a list of descriptions, or its JSON text, which TRL decodes (tables hold such lists as text). Null
 * if there are none. Throws a `LoraFleetError` with code `invalid_dataset` that names the line.
 */
export function parseTools(line: number, value: PyValue | undefined): PyValue[] | null {
  const isText = typeof value === "string";
  const tools = isText ? decode(line, value) : value ?? null;
  if (tools === null) return null;
  if (!Array.isArray(tools)) {
    throw invalidLine(
      line,
      `has the "tools" ${quoteValue(value)}; a list of tools, or its JSON text, is needed`,
    );
  }
  tools.forEach((tool, index) => {
    if (tool instanceof Map) return;
    throw invalidLine(
      line,
      `has ${quoteValue(tool)} as tool ${index + 1} of "tools"; an object such as {"type": "function", ` +
        `"function": {"name": …}} is needed`,
    );
  });
  // A text says what its author wrote; only a table fills objects with nulls.
  return isText ? tools : tools.map(withoutSchemaNulls);
}

function decode(line: number, text: string): PyValue {
  try {
    return parseJson(text);
  } catch (cause) {
    throw invalidLine(
      line,
      `has the "tools" ${quoteValue(text)}, a text that is not JSON (${messageOf(cause)}); a list of ` +
        `tools, or its JSON text, is needed`,
      cause,
    );
  }
}

/** What the rendering itself decides, and what transformers' `apply_chat_template` takes as options of its own. */
const RESERVED: ReadonlyMap<string, string> = new Map([
  ["messages", `give the row's "messages" instead`],
  ["conversation", `give the row's "messages" instead`],
  ["conversations", `give the row's "messages" instead`],
  ["tools", `give the row's "tools" instead`],
  ["chat_template", "the base model's template is used"],
  ...[
    "add_generation_prompt",
    "continue_final_message",
    "tokenize",
    "padding",
    "truncation",
    "max_length",
    "return_tensors",
    "return_dict",
    "return_assistant_tokens_mask",
    "sanitize_control_tokens",
    "tokenizer_kwargs",
  ].map((name) => [name, "the training decides it"] as const),
]);

/**
 * A row's `chat_template_kwargs`: variables of the template, such as `enable_thinking`. Null ones count as absent. Throws
 * a `LoraFleetError` with code `invalid_dataset` that names the line and a name that is not the row's to set.
 */
export function parseTemplateKwargs(line: number, value: PyValue | undefined): ReadonlyMap<string, PyValue> {
  if (value === undefined || value === null) return new Map();
  if (!(value instanceof Map)) {
    throw invalidLine(
      line,
      `has the "chat_template_kwargs" ${quoteValue(value)}; an object with variables of the chat template ` +
        `is needed`,
    );
  }
  const kwargs = withoutNulls(value);
  for (const name of kwargs.keys()) {
    const reason = RESERVED.get(name);
    if (reason !== undefined) {
      throw invalidLine(
        line,
        `has ${quote(name)} in "chat_template_kwargs", where it cannot be set: ${reason}`,
      );
    }
  }
  const documents = kwargs.get("documents");
  if (
    documents !== undefined && !(Array.isArray(documents) && documents.every((one) => one instanceof Map))
  ) {
    throw invalidLine(
      line,
      `has the "documents" ${quoteValue(documents)} in "chat_template_kwargs"; a list of objects is needed`,
    );
  }
  return kwargs;
}

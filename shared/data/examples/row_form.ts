/** Which form a row has. It follows from the fields that are not null; a row in two forms at once is refused. */
import { quote } from "../../errors.ts";
import { invalidLine, type JsonRow } from "../rows/jsonl.ts";
import { withoutNulls } from "../rows/nulls.ts";
import type { PyValue } from "../../python/values/value.ts";
import { quoteValue } from "../rows/quote_value.ts";

export type RowForm =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "completion"; readonly prompt: string; readonly completion: string }
  /** `promptField` and `completionField`, or `messages`, hold messages. */
  | { readonly kind: "chat"; readonly fields: ReadonlyMap<string, PyValue>; readonly hasPrompt: boolean };

/**
 * Throws a `LoraFleetError` with code `invalid_dataset` that names the line.
 * @param textField the field that holds the text of a row of plain text
 */
export function formOf({ line, fields: all }: JsonRow, textField: string): RowForm {
  const fields = withoutNulls(all);
  const forms = formsIn(fields, textField);
  if (forms.length > 1) {
    throw invalidLine(
      line,
      `has ${
        forms.join(" and ")
      }, and only one of them can be trained on; leave out the others or make them null`,
    );
  }
  const [form] = forms;
  if (form === undefined) throw invalidLine(line, `has ${namesOf(all)}, but neither ${neither(textField)}`);
  if (form === COMPLETION) return completionForm(line, fields);
  if (form === MESSAGES) {
    refuseFunctions(line, fields);
    return { kind: "chat", fields, hasPrompt: false };
  }
  const text = fields.get(textField)!;
  if (typeof text !== "string") {
    throw invalidLine(line, `has the ${quote(textField)} ${quoteValue(text)}; a text is needed`);
  }
  return { kind: "text", text };
}

const COMPLETION = `"prompt" with "completion"`;
const MESSAGES = `"messages"`;

function formsIn(fields: ReadonlyMap<string, PyValue>, textField: string): string[] {
  const forms: string[] = [];
  const isCompletion = fields.has("prompt") && fields.has("completion");
  if (isCompletion) forms.push(COMPLETION);
  if (fields.has("messages")) forms.push(MESSAGES);
  const isOwn = (isCompletion && (textField === "prompt" || textField === "completion")) ||
    textField === "messages";
  if (fields.has(textField) && !isOwn) forms.push(quote(textField));
  return forms;
}

function completionForm(line: number, fields: ReadonlyMap<string, PyValue>): RowForm {
  const prompt = fields.get("prompt")!;
  const completion = fields.get("completion")!;
  if (typeof prompt === "string" && typeof completion === "string") {
    return { kind: "completion", prompt, completion };
  }
  if (Array.isArray(prompt) && Array.isArray(completion)) {
    refuseFunctions(line, fields);
    return { kind: "chat", fields, hasPrompt: true };
  }
  throw invalidLine(
    line,
    `has the prompt ${quoteValue(prompt)} and the completion ${
      quoteValue(completion)
    }; two texts or two lists of ` +
      `messages are needed`,
  );
}

/** OpenAI's older form of `tools`, which no open template reads. (`parallel_tool_calls` changes no text.) */
function refuseFunctions(line: number, fields: ReadonlyMap<string, PyValue>): void {
  if (!fields.has("functions")) return;
  throw invalidLine(
    line,
    `has "functions", which OpenAI has replaced by "tools" and chat templates do not read; write each function as ` +
      `{"type": "function", "function": …} in "tools"`,
  );
}

function namesOf(fields: ReadonlyMap<string, PyValue>): string {
  const names = [...fields].slice(0, 10).map(([name, value]) =>
    quote(name) + (value === null ? " (null)" : "")
  );
  return names.join(", ") || "no fields";
}

function neither(textField: string): string {
  return `"prompt" and "completion" nor "messages" nor the text field ${
    quote(textField)
  } (dataset.text_field)`;
}

/** The forms of rows. The fields that are not null decide which one a row has; a row in two forms is refused. */
import { quote } from "../../errors.ts";
import { invalidLine, type Row } from "../rows/row.ts";
import { withoutNulls } from "../rows/nulls.ts";
import type { PyValue } from "../../python/values/value.ts";
import { quoteValue } from "../rows/quote_value.ts";
import { readAlpaca } from "./alpaca.ts";
import { columnTypes } from "./column_types.ts";
import { fromShareGpt, isShareGpt } from "./sharegpt.ts";

export type RowContent =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "completion"; readonly prompt: string; readonly completion: string }
  /** `prompt` and `completion`, or `messages`, hold messages. */
  | { readonly kind: "chat"; readonly fields: ReadonlyMap<string, PyValue>; readonly hasPrompt: boolean };

type Fields = ReadonlyMap<string, PyValue>;

interface RowForm {
  /** Without the text form's, which a job names. */
  readonly columns: readonly string[];
  /** Its fields as errors name them. */
  name(textField: string): string;
  has(fields: Fields, textField: string): boolean;
  read(line: number, fields: Fields, textField: string): RowContent;
  /** Yields to every other form: files of the form often carry the formatted `text`, or `messages`, beside it. */
  readonly isFallback?: true;
}

const hasAlpaca = (fields: Fields) => fields.has("instruction") && fields.has("output");
const hasCompletion = (fields: Fields) => fields.has("prompt") && fields.has("completion");

const ROW_FORMS: readonly RowForm[] = [
  {
    name: () => `"prompt" with "completion"`,
    columns: ["prompt", "completion"],
    has: hasCompletion,
    read: readCompletion,
  },
  {
    name: () => `"messages"`,
    columns: ["messages"],
    has: (fields) => fields.has("messages"),
    read: (line, fields) => readMessages(line, fields, "messages"),
  },
  {
    name: () => `"conversations"`,
    columns: ["conversations"],
    has: (fields) => fields.has("conversations"),
    read: (line, fields) => readMessages(line, fields, "conversations"),
    isFallback: true,
  },
  {
    name: () => `"instruction" with "output"`,
    columns: ["instruction", "input", "output"],
    has: hasAlpaca,
    read: readAlpaca,
    isFallback: true,
  },
  { name: quote, columns: [], has: hasText, read: readText },
];

/**
 * The content by the one form that a row has. If it has several, a form whose columns are mapped wins, then those that are no
 * fallback; two that are left are refused. Throws a `LoraFleetError` with code `invalid_dataset` that names the line.
 * @param textField the field that holds the text of a row of plain text
 * @param mapped columns that the user has named in dataset.column_mapping
 * @param hint what to add to the error of a row that has no form
 */
export function contentOf(
  { line, fields: all }: Row,
  textField: string,
  mapped: ReadonlySet<string> = new Set(),
  hint: () => string = () => "",
): RowContent {
  const fields = withoutNulls(all);
  const found = ROW_FORMS.filter((form) => form.has(fields, textField));
  const isMapped = ({ columns }: RowForm) =>
    (columns.length === 0 ? [textField] : columns).some((column) => mapped.has(column));
  const [form, ...others] = preferred(preferred(found, isMapped), ({ isFallback }) => isFallback !== true);
  if (form === undefined) {
    throw invalidLine(line, `has ${columnTypes(all)}, but neither ${formNames(textField)}${hint()}`);
  }
  if (others.length === 0) return form.read(line, fields, textField);
  const names = [form, ...others].map(({ name }) => name(textField));
  throw invalidLine(
    line,
    `has ${names.join(" and ")}, and only one of them can be trained on; leave out the others or make them ` +
      `null, or name the one that is meant in dataset.column_mapping`,
  );
}

/** Those that are so, or all if none is. */
function preferred<T>(items: readonly T[], isSo: (item: T) => boolean): readonly T[] {
  const chosen = items.filter(isSo);
  return chosen.length === 0 ? items : chosen;
}

/** A field of a different form is not the text field. */
function hasText(fields: Fields, textField: string): boolean {
  const isClaimed = textField === "messages" || textField === "conversations" ||
    (hasCompletion(fields) && (textField === "prompt" || textField === "completion"));
  return fields.has(textField) && !isClaimed;
}

function readText(line: number, fields: Fields, textField: string): RowContent {
  const text = fields.get(textField)!;
  if (typeof text === "string") return { kind: "text", text };
  throw invalidLine(line, `has the ${quote(textField)} ${quoteValue(text)}; a text is needed`);
}

function readMessages(line: number, fields: Fields, field: "messages" | "conversations"): RowContent {
  refuseFunctions(line, fields);
  const isOther = field === "conversations" || isShareGpt(fields.get(field));
  return { kind: "chat", fields: isOther ? fromShareGpt(line, fields, field) : fields, hasPrompt: false };
}

function readCompletion(line: number, fields: Fields): RowContent {
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
    `has the prompt ${quoteValue(prompt)} and the completion ${quoteValue(completion)}; two texts or two ` +
      `lists of messages are needed`,
  );
}

/** OpenAI's older form of `tools`, which no open template reads. (`parallel_tool_calls` changes no text.) */
function refuseFunctions(line: number, fields: Fields): void {
  if (!fields.has("functions")) return;
  throw invalidLine(
    line,
    `has "functions", which OpenAI has replaced by "tools" and chat templates do not read; write each function as ` +
      `{"type": "function", "function": …} in "tools"`,
  );
}

function formNames(textField: string): string {
  const names = ROW_FORMS.slice(0, -1).map(({ name }) => name(textField).replace(" with ", " and "));
  return `${names.join(" nor ")} nor the text field ${quote(textField)} (dataset.text_field)`;
}

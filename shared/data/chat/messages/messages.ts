/** The messages of a row, parsed: what every chat template relies on, as transformers hands it to one. */
import { quote } from "../../../errors.ts";
import type { TemplateMessage } from "../template/chat_template.ts";
import { invalidLine } from "../../rows/row.ts";
import { withoutNulls } from "../../rows/nulls.ts";
import type { PyValue } from "../../../python/values/value.ts";
import { quoteValue } from "../../rows/quote_value.ts";

/**
 * Null fields of messages, tool calls and their functions count as absent. With `keepNulls` a `content` that is null stays, for
 * templates that tell a message of tool calls by `content is none`, and so do null `arguments`, for templates that print them.
 *
 * Throws a `LoraFleetError` with code `invalid_dataset` that names the line and the message.
 */
export function parseMessages(
  line: number,
  field: string,
  value: PyValue | undefined,
  keepNulls = false,
): TemplateMessage[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw invalidLine(
      line,
      `has the ${quote(field)} ${quoteValue(value)}; a list of messages with role and content is needed`,
    );
  }
  return value.map((message, index) => {
    const place = `message ${index + 1} of ${quote(field)}`;
    if (!(message instanceof Map)) {
      throw invalidLine(
        line,
        `has ${quoteValue(message)} as ${place}; an object with role and content is needed`,
      );
    }
    const fields = withoutNulls(message);
    if (keepNulls && message.get("content") === null) fields.set("content", null);
    checkRole(line, place, fields);
    checkContent(line, place, fields.get("content"));
    const calls = fields.get("tool_calls");
    if (calls !== undefined) fields.set("tool_calls", parseToolCalls(line, place, calls, keepNulls));
    return fields;
  });
}

export function roleOf(message: TemplateMessage): string {
  return message.get("role") as string;
}

function checkRole(line: number, place: string, fields: TemplateMessage): void {
  if (typeof fields.get("role") === "string") return;
  throw invalidLine(line, `has no role in ${place}; "role" and "content" are needed`);
}

function checkContent(line: number, place: string, content: PyValue | undefined): void {
  if (content === undefined || content === null || typeof content === "string" || Array.isArray(content)) {
    return;
  }
  throw invalidLine(line, `has the content ${quoteValue(content)} in ${place}; a text is needed`);
}

/** Arguments stay as they are: what is a text and what an object is between the row and its template. */
function parseToolCalls(line: number, place: string, calls: PyValue, keepNulls: boolean): PyValue[] {
  if (!Array.isArray(calls)) {
    throw invalidLine(line, `has the tool_calls ${quoteValue(calls)} in ${place}; a list is needed`);
  }
  return calls.map((call, index) => {
    if (!(call instanceof Map)) {
      throw invalidLine(
        line,
        `has ${quoteValue(call)} as tool call ${index + 1} in ${place}; an object with "function" (its ` +
          `name and arguments) is needed`,
      );
    }
    const fields = withoutNulls(call);
    const called = fields.get("function");
    if (called instanceof Map) {
      const parts = withoutNulls(called);
      if (keepNulls && called.get("arguments") === null) parts.set("arguments", null);
      fields.set("function", parts);
    }
    return fields;
  });
}

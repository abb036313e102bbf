/** The messages of a row, parsed: what every chat template relies on. */
import { quote } from "../errors.ts";
import type { ChatMessage } from "./chat_template.ts";
import { invalidLine } from "./jsonl.ts";

/** Throws a `LoraFleetError` with code `invalid_dataset` that names the line and the message. */
export function parseMessages(line: number, field: string, value: unknown): ChatMessage[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw invalidLine(
      line,
      `has the ${quote(field)} ${quote(value)}; a list of messages with role and content is needed`,
    );
  }
  return value.map((message: unknown, index) => {
    const place = `message ${index + 1} of ${quote(field)}`;
    if (typeof message !== "object" || message === null || Array.isArray(message)) {
      throw invalidLine(line, `has ${quote(message)} as ${place}; an object with role and content is needed`);
    }
    if (!("role" in message) || typeof message.role !== "string") {
      const from = "from" in message ? `, not "from" and "value"` : "";
      throw invalidLine(line, `has no role in ${place}; "role" and "content" are needed${from}`);
    }
    const { role, ...rest } = message;
    const fields: Readonly<Record<string, unknown>> = rest;
    const content = fields["content"];
    if (content !== undefined && content !== null && typeof content !== "string" && !Array.isArray(content)) {
      throw invalidLine(line, `has the content ${quote(content)} in ${place}; a text is needed`);
    }
    const weight = fields["weight"];
    if (weight !== undefined && weight !== null && weight !== 0 && weight !== 1) {
      throw invalidLine(line, `has the weight ${quote(weight)} in ${place}; 0 or 1 is needed`);
    }
    return { ...fields, role };
  });
}

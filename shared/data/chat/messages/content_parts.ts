/**
 * Content given as a list of parts (`[{"type": "text", "text": …}]`). Templates of text models join contents with `+`, and
 * some would print the list itself; those get the parts' texts as one text, a line each, as vLLM and llama.cpp do it for
 * such templates. Templates that go through the parts themselves get the list.
 */
import { LoraFleetError, quote } from "../../../errors.ts";
import type { ChatTemplate, TemplateMessage } from "../template/chat_template.ts";
import { invalidLine } from "../../rows/row.ts";
import { roleOf } from "./messages.ts";
import { withoutNulls } from "../../rows/nulls.ts";
import type { PyValue } from "../../../python/values/value.ts";
import { quoteValue } from "../../rows/quote_value.ts";

const SEPARATOR = "\n";

export interface ContentParts {
  /** Messages whose contents are what the template expects. Throws `invalid_dataset` for parts that are no text. */
  fit(line: number, field: string, messages: readonly TemplateMessage[]): TemplateMessage[];
}

/** Asks the template once for each role what it makes of parts. */
export function createContentParts(template: ChatTemplate): ContentParts {
  const taken = new Map<string, boolean>();
  const takesParts = (role: string): boolean => {
    const known = taken.get(role);
    if (known !== undefined) return known;
    const answer = probe(template, role);
    taken.set(role, answer);
    return answer;
  };
  return {
    fit: (line, field, messages) =>
      messages.map((message, index) => {
        const content = message.get("content");
        if (!Array.isArray(content)) return message;
        const parts = content.map((part) =>
          parseTextPart(line, `message ${index + 1} of ${quote(field)}`, part)
        );
        const fitting = takesParts(roleOf(message))
          ? parts
          : parts.map((part) => part.get("text") as string).join(SEPARATOR);
        return new Map([...message, ["content", fitting]]);
      }),
  };
}

function parseTextPart(line: number, place: string, part: PyValue): Map<string, PyValue> {
  if (typeof part === "string") return new Map([["type", "text"], ["text", part]]);
  if (!(part instanceof Map)) {
    throw invalidLine(
      line,
      `has ${quoteValue(part)} as a part of ${place}; {"type": "text", "text": …} is needed`,
    );
  }
  const fields = withoutNulls(part);
  const type = fields.get("type");
  if (type === undefined) return parseTextPart(line, place, new Map([["type", "text"], ...fields]));
  if (type !== "text") {
    throw invalidLine(line, `has a part of type ${quoteValue(type)} in ${place}; only text can be trained`);
  }
  if (typeof fields.get("text") !== "string") {
    throw invalidLine(line, `has the part ${quoteValue(part)} in ${place}; its "text" is no text`);
  }
  return fields;
}

const WORD = "\u{10fffd}";

/** Whether a message of that role reads the same with a text and with a part that holds it. */
function probe(template: ChatTemplate, role: string): boolean {
  const before = role === "user" ? [] : role === "system" ? [] : [{ role: "user", content: "a" }];
  const after = role === "system" ? [{ role: "user", content: "a" }] : [];
  const render = (content: PyValue): string | null => {
    const messages = [...before, { role, content }, ...after].map((message) =>
      new Map<string, PyValue>(Object.entries(message))
    );
    try {
      return template.render(messages).text;
    } catch (error) {
      if (error instanceof LoraFleetError) return null;
      throw error;
    }
  };
  const byParts = render([new Map([["type", "text"], ["text", WORD]])]);
  if (byParts === null || !byParts.includes(WORD)) return false;
  // A template that prints the list as it is shows the part's own keys; one for parts alone drops a plain text.
  const byText = render(WORD);
  return byText === byParts || (byText !== null && !byText.includes(WORD)) || byText === null;
}

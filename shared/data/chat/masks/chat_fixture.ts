/** Chats for tests, from what JSON can say. */
import type { WeightedChat } from "./chat_example.ts";
import { createMessageWeights } from "../messages/message_weights.ts";
import { parseMessages } from "../messages/messages.ts";
import { parseJson } from "../../../python/json/parse_json.ts";
import type { PyValue } from "../../../python/values/value.ts";

/** A value as the reader of a row would have it. */
export function pyValue(value: unknown): PyValue {
  return parseJson(JSON.stringify(value));
}

/** An object's fields, as a row has them. */
export function fieldsOf(value: PyValue): Map<string, PyValue> {
  if (!(value instanceof Map)) throw new Error("no object");
  return value;
}

export function chatOf(
  value: unknown,
  others: { readonly tools?: unknown; readonly kwargs?: unknown; readonly weightKey?: string } = {},
): WeightedChat {
  const kwargs = pyValue(others.kwargs ?? {});
  const messages = parseMessages(1, "messages", pyValue(value));
  return {
    messages,
    weights: createMessageWeights(others.weightKey).of(1, "messages", messages),
    tools: others.tools === undefined ? null : pyValue(others.tools) as PyValue[],
    kwargs: kwargs as Map<string, PyValue>,
  };
}

/** User and assistant take turns. */
export function turnsOf(...contents: string[]): WeightedChat {
  return chatOf(contents.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content })));
}

/**
 * ShareGPT rows: `conversations` of `from` and `value`, as messages of `role` and `content`. TRL renames the two keys
 * (`maybe_convert_to_chatml`); the speakers' names become roles as in Unsloth's `standardize_sharegpt`, and calls and their
 * results as in LLaMA-Factory's ShareGPT format.
 */
import { quote } from "../../errors.ts";
import { parseJson } from "../../python/json/parse_json.ts";
import type { PyValue } from "../../python/values/value.ts";
import { quoteValue } from "../rows/quote_value.ts";
import { invalidLine } from "../rows/row.ts";

type Fields = ReadonlyMap<string, PyValue>;

/** Names of speakers, and the role that templates know each by. */
const ROLES: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  gpt: "assistant",
  assistant: "assistant",
  chatgpt: "assistant",
  bard: "assistant",
  bing: "assistant",
  model: "assistant",
  system: "system",
  developer: "developer",
  tool: "tool",
  function: "tool",
  function_response: "tool",
  observation: "tool",
  function_call: "assistant",
};

/** Whether a list has messages of `from` instead of `role`. */
export function isShareGpt(messages: PyValue | undefined): boolean {
  return Array.isArray(messages) &&
    messages.some((message) =>
      message instanceof Map && present(message, "from") && !present(message, "role")
    );
}

/**
 * The row with `messages` in place of `field`. A `system` column becomes the first message. Messages that have a role already
 * stay as they are. Throws a `LoraFleetError` with code `invalid_dataset` that names the line and the message.
 */
export function fromShareGpt(line: number, fields: Fields, field: string): Fields {
  const turns = fields.get(field)!;
  if (!Array.isArray(turns) || turns.length === 0) {
    throw invalidLine(
      line,
      `has the ${quote(field)} ${quoteValue(turns)}; a list of messages with from and value is needed`,
    );
  }
  const messages = turns.map((turn, index) =>
    toMessage(line, `message ${index + 1} of ${quote(field)}`, turn)
  );
  const system = fields.get("system");
  const hasSystem = messages.some((message) => message instanceof Map && message.get("role") === "system");
  if (typeof system === "string" && system !== "" && !hasSystem) {
    messages.unshift(new Map<string, PyValue>([["role", "system"], ["content", system]]));
  }
  const renamed = [...fields].filter(([name]) => name !== field && name !== "messages");
  return new Map([...renamed, ["messages", messages]]);
}

function toMessage(line: number, place: string, turn: PyValue): PyValue {
  if (!(turn instanceof Map) || !present(turn, "from")) return turn;
  const from = turn.get("from")!;
  const role = typeof from === "string" && Object.hasOwn(ROLES, from) ? ROLES[from]! : null;
  if (role === null) {
    throw invalidLine(
      line,
      `has the speaker ${quoteValue(from)} in ${place}; known are ${Object.keys(ROLES).join(", ")}`,
    );
  }
  const rest = [...turn].filter(([name]) => name !== "from" && name !== "value");
  const content = turn.get("value") ?? turn.get("content") ?? null;
  const call = from === "function_call" ? callOf(content) : null;
  const own: [string, PyValue][] = call === null ? [["content", content]] : [["tool_calls", call]];
  return new Map<string, PyValue>([["role", role], ...own, ...rest.filter(([name]) => name !== "content")]);
}

/** A call, or several, written as JSON: `{"name": …, "arguments": …}`. Null for anything else, which stays a text. */
function callOf(content: PyValue): PyValue[] | null {
  if (typeof content !== "string") return null;
  let value: PyValue;
  try {
    value = parseJson(content);
  } catch {
    return null;
  }
  const calls = Array.isArray(value) ? value : [value];
  const areCalls = calls.length > 0 &&
    calls.every((call) => call instanceof Map && typeof call.get("name") === "string");
  if (!areCalls) return null;
  return calls.map((call) => new Map<string, PyValue>([["type", "function"], ["function", call]]));
}

function present(fields: Fields, name: string): boolean {
  const value = fields.get(name);
  return value !== undefined && value !== null;
}

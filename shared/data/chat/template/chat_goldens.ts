/** Chats as transformers renders them; made by scripts in tests/differential. */
import { LoraFleetError } from "../../../errors.ts";
import { createChatTemplate, type Rendered } from "./chat_template.ts";
import { parseJson } from "../../../python/json/parse_json.ts";
import type { PyValue } from "../../../python/values/value.ts";

/** One chat through one template: a text and what generation blocks wrote (in code points), or an error. */
export interface ChatGolden {
  readonly template: string;
  readonly chat: string;
  readonly text?: string;
  readonly generated?: readonly (readonly [number, number])[];
  readonly error?: string;
}

type Chat = ReadonlyMap<string, PyValue>;

const SPECIAL_TOKENS = { bos: "<s>", eos: "</s>", pad: "<pad>", unk: "<unk>" };

/** The chats of tests/differential/chats.json by name. */
export function parseChats(text: string): Map<string, Chat> {
  const chats = parseJson(text) as Chat[];
  return new Map(chats.map((chat) => [String(chat.get("name")), chat]));
}

/** Renders a chat; throws what is no refusal. */
export function renderChat(source: string, chat: Chat): Rendered | LoraFleetError {
  try {
    return createChatTemplate({ chatTemplate: source, specialTokens: SPECIAL_TOKENS }).render(
      chat.get("messages") as Map<string, PyValue>[],
      {
        tools: chat.get("tools") ?? null,
        documents: chat.get("documents") ?? null,
        addGenerationPrompt: chat.get("prompt") === true,
        kwargs: (chat.get("kwargs") ?? new Map()) as Map<string, PyValue>,
      },
    );
  } catch (error) {
    if (error instanceof LoraFleetError) return error;
    throw error;
  }
}

export type Verdict = "equal" | "equal mask" | "both refuse" | "other text" | "other mask" | "one refuses";

export function judge(ours: Rendered | LoraFleetError, theirs: ChatGolden): Verdict {
  if (ours instanceof LoraFleetError) return theirs.error === undefined ? "one refuses" : "both refuse";
  if (theirs.error !== undefined) return "one refuses";
  if (ours.text !== theirs.text) return "other text";
  const inCodePoints = ours.generated.map((range) =>
    range.map((units) => Array.from(ours.text.slice(0, units)).length)
  );
  if (JSON.stringify(inCodePoints) !== JSON.stringify(theirs.generated)) return "other mask";
  return ours.generated.length > 0 ? "equal mask" : "equal";
}

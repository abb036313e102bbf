/** The chats of chats.json as rows, as a file's reader would have them. */
import { fromFileUrl } from "@std/path";
import { fieldsOf } from "../../../shared/data/chat/masks/chat_fixture.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { createExampleBuilder } from "../../../shared/data/examples/examples.ts";
import { parseJson } from "../../../shared/python/json/parse_json.ts";
import type { PyValue } from "../../../shared/python/values/value.ts";
import type { Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { datasetSchema } from "../../../shared/job/job_spec_schema.ts";

export type Fields = ReadonlyMap<string, PyValue>;

export interface ChatRows {
  /** With messages: the assistant's turns are trained. */
  readonly assistant: Fields;
  /** The last message is the completion. */
  readonly completion: Fields;
}

export async function readChatRows(): Promise<ReadonlyMap<string, ChatRows>> {
  const text = await Deno.readTextFile(fromFileUrl(new URL("chats.json", import.meta.url)));
  return new Map([...fieldsOf(parseJson(text))].map(([name, chat]) => [name, rowsOf(fieldsOf(chat))]));
}

function rowsOf(chat: Fields): ChatRows {
  const { messages, ...others } = Object.fromEntries(chat);
  if (!Array.isArray(messages)) throw new Error("no messages");
  return {
    assistant: chat,
    completion: new Map(Object.entries({
      ...others,
      prompt: messages.slice(0, -1),
      completion: messages.slice(-1),
    })),
  };
}

/** A row's token ids and mask, or why it is refused. */
export type Outcome =
  | { readonly ids: readonly number[]; readonly mask: string }
  | { readonly refused: string };

export function buildRow(tokenizer: Tokenizer, chatTemplate: string, fields: Fields): Outcome {
  const builder = createExampleBuilder({ ...tokenizer, chatTemplate }, datasetSchema.parse({}));
  try {
    const { tokens, completionMask } = builder.build({ line: 1, fields });
    return { ids: [...tokens], mask: completionMask.join("") };
  } catch (error) {
    if (error instanceof LoraFleetError) return { refused: error.message };
    throw error;
  }
}

/** The text with what is trained between ⟦ and ⟧. */
export function show(tokenizer: Tokenizer, outcome: Outcome): string {
  if ("refused" in outcome) return `refused: ${outcome.refused}`;
  let text = "";
  let start = 0;
  for (let end = 1; end <= outcome.ids.length; end++) {
    if (outcome.mask[end] === outcome.mask[start]) continue;
    const part = tokenizer.decode(outcome.ids.slice(start, end));
    text += outcome.mask[start] === "1" ? `⟦${part}⟧` : part;
    start = end;
  }
  return JSON.stringify(text);
}

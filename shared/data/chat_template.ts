/** Chats as text: the base model's Jinja template, with what transformers gives it. */
import { Template } from "@huggingface/jinja";
import { LoraFleetError, messageOf } from "../errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A message as its template sees it: a role and whatever else the dataset has. */
export type ChatMessage = Readonly<Record<string, unknown>> & { readonly role: string };

export interface RenderOptions {
  /** End with the words that make the model answer. */
  readonly addGenerationPrompt?: boolean;
  readonly tools?: unknown;
}

export interface ChatTemplate {
  readonly source: string;
  /** Throws a `LoraFleetError` with code `invalid_dataset` where the template refuses the messages. */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
}

/**
 * Throws a `LoraFleetError` with code `invalid_model` where the base model has no chat template or one that does not
 * parse.
 *
 * `strftime_now` is not defined in it, although transformers defines it: a template that writes today's date would
 * make other data of the same file each day. Templates that ask whether it is defined fall back to a fixed date.
 */
export function createChatTemplate(
  { chatTemplate: source, specialTokens }: Pick<Tokenizer, "chatTemplate" | "specialTokens">,
): ChatTemplate {
  if (source === null) {
    throw new LoraFleetError(
      "invalid_model",
      `the base model has no chat template (tokenizer_config.json's chat_template or chat_template.jinja), so rows ` +
        `with messages cannot be made into text; use a chat model, or rows with prompt and completion`,
      { param: "chat_template" },
    );
  }
  let template: Template;
  try {
    template = new Template(source);
  } catch (cause) {
    throw new LoraFleetError(
      "invalid_model",
      `the base model's chat template does not parse: ${messageOf(cause)}`,
      {
        param: "chat_template",
        cause,
      },
    );
  }
  const { bos, eos, pad, unk } = specialTokens;
  const context = Object.fromEntries(
    Object.entries({ bos_token: bos, eos_token: eos, pad_token: pad, unk_token: unk })
      .filter(([, text]) => text !== null),
  );
  return {
    source,
    render(messages, { addGenerationPrompt = false, tools = null } = {}) {
      try {
        return template.render({
          ...context,
          messages,
          tools,
          documents: null,
          add_generation_prompt: addGenerationPrompt,
          strftime_now: undefined,
        });
      } catch (cause) {
        throw new LoraFleetError(
          "invalid_dataset",
          `the chat template refuses the messages: ${messageOf(cause)}`,
          {
            cause,
          },
        );
      }
    },
  };
}

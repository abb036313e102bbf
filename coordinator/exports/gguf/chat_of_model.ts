/** How a base model writes a chat, for the Modelfile. */
import { createChatTemplate } from "../../../shared/data/chat/template/chat_template.ts";
import { chooseTemplate } from "../../../shared/data/tokenizer/files/named_templates.ts";
import type { Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import type { ChatOfModel } from "./modelfile.ts";

const QUESTION = [new Map([["role", "user"], ["content", "Hi"]])];

/** Null for a base model without a chat template. */
export function chatOf(
  { chatTemplate, specialTokens }: Pick<Tokenizer, "chatTemplate" | "specialTokens">,
): ChatOfModel | null {
  const template = chooseTemplate(chatTemplate, false);
  if (template === null) return null;
  try {
    const chat = createChatTemplate({ chatTemplate: template, specialTokens });
    return { template, example: chat.render(QUESTION, { addGenerationPrompt: true }).text };
  } catch (thrown) {
    if (thrown instanceof LoraFleetError) return { template, example: null };
    throw thrown;
  }
}

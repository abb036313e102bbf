/** Chats as text: the base model's Jinja template, with what transformers gives it. */
import { LoraFleetError, messageOf } from "../../../errors.ts";
import { TemplateSyntaxError } from "../../jinja/parse/errors.ts";
import { createGlobals } from "../../jinja/globals.ts";
import { compileJinja, type JinjaTemplate } from "../../jinja/template.ts";
import { PyError, type PyValue, UnsupportedError, type Value } from "../../../python/values/value.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";

/** A message as its template sees it: a role and whatever else the dataset has. */
export type ChatMessage = Readonly<Record<string, unknown>> & { readonly role: string };

/** A message as its template sees it: `role` and whatever else the row has, in the row's order. */
export type TemplateMessage = ReadonlyMap<string, PyValue>;

interface RenderOptions {
  /** End with the words that make the model answer. */
  readonly addGenerationPrompt?: boolean;
  readonly tools?: PyValue;
  readonly documents?: PyValue;
  /** Further variables of the template, such as a row's `chat_template_kwargs`. */
  readonly kwargs?: ReadonlyMap<string, PyValue>;
}

export interface Rendered {
  readonly text: string;
  /**
   * What `{% generation %}` blocks wrote: from and to, in UTF-16 units of `text`, as `return_assistant_tokens_mask` of
   * transformers finds them. Empty if the template has no such blocks.
   */
  readonly generated: readonly (readonly [number, number])[];
}

export interface ChatTemplate {
  readonly source: string;
  /** Whether the template marks the assistant's words itself, by `{% generation %}`. */
  readonly hasGenerationBlocks: boolean;
  /**
   * Throws a `LoraFleetError`: `invalid_dataset` if the template refuses the messages (the caller adds the line),
   * `invalid_model` if the template asks for what is not supported or not allowed.
   */
  render(messages: readonly TemplateMessage[], options?: RenderOptions): Rendered;
}

/** 26 July 2024, the date that Llama 3's own template falls back to. */
const FIXED_DATE = new Date(Date.UTC(2024, 6, 26));
const OWN_NAMES = ["messages", "tools", "documents", "add_generation_prompt"];
/** Where a message's reasoning may stand; templates read the first, or "thinking". */
const REASONING_FIELDS = ["reasoning_content", "thinking", "reasoning"];

/**
 * Throws a `LoraFleetError` with code `invalid_model` if the base model has no chat template or one that does not
 * parse.
 *
 * Today's date does not exist in it, although transformers gives templates `strftime_now`: the same file would make
 * other data each day. A template that asks whether it is defined falls back to its own date; the others get a fixed
 * one.
 */
export function createChatTemplate(
  { chatTemplate: source, specialTokens }: Pick<Tokenizer, "specialTokens"> & {
    readonly chatTemplate: string | null;
  },
): ChatTemplate {
  if (source === null) {
    throw invalidModel(
      `the base model has no chat template (tokenizer_config.json's chat_template or chat_template.jinja), so rows ` +
        `with messages cannot be made into text; use a chat model, or rows with prompt and completion`,
    );
  }
  const template = compile(source);
  const { bos, eos, pad, unk } = specialTokens;
  const tokens = Object.entries({ bos_token: bos, eos_token: eos, pad_token: pad, unk_token: unk })
    .filter((entry): entry is [string, string] => entry[1] !== null);
  return {
    source,
    hasGenerationBlocks: template.hasGenerationBlocks,
    render(
      messages,
      { addGenerationPrompt = false, tools = null, documents = null, kwargs = new Map() } = {},
    ) {
      const taken = OWN_NAMES.find((name) => kwargs.has(name));
      if (taken !== undefined) {
        throw new LoraFleetError(
          "invalid_dataset",
          `chat_template_kwargs has "${taken}", which the template gets already; leave it out`,
        );
      }
      const variables = new Map<string, Value>([
        ...tokens,
        ["messages", messages.map(withReasoning) as Value[]],
        ["tools", tools as Value],
        ["documents", documents as Value],
        ["add_generation_prompt", addGenerationPrompt],
        ...kwargs,
      ]);
      try {
        return template.render(variables);
      } catch (cause) {
        throw renderingError(cause);
      }
    },
  };
}

function compile(source: string): JinjaTemplate {
  const asksForDate = /strftime_now\s+is\s+(not\s+)?defined/.test(source);
  try {
    return compileJinja(source, createGlobals(asksForDate ? null : FIXED_DATE));
  } catch (cause) {
    if (cause instanceof UnsupportedError) throw unsupported(cause);
    if (cause instanceof TemplateSyntaxError) {
      throw invalidModel(`the base model's chat template does not parse: ${cause.message}`, cause);
    }
    throw cause;
  }
}

/** As transformers: reasoning is found under its standard name and under "thinking", whatever the row calls it. */
function withReasoning(message: TemplateMessage): TemplateMessage {
  const name = REASONING_FIELDS.find((field) => (message.get(field) ?? null) !== null);
  if (name === undefined) return message;
  const reasoning = message.get(name)!;
  return new Map([["thinking", reasoning], ...message, ["reasoning_content", reasoning]]);
}

/** Errors that are the template's own fault, whatever the messages are. */
const TEMPLATE_FAULTS: ReadonlySet<string> = new Set(["SecurityError", "TemplateAssertionError"]);

function renderingError(cause: unknown): unknown {
  if (cause instanceof UnsupportedError) return unsupported(cause);
  if (!(cause instanceof PyError)) return cause;
  if (TEMPLATE_FAULTS.has(cause.type)) {
    return invalidModel(`the base model's chat template cannot be run: ${cause.message}`, cause);
  }
  // What the template itself says needs no class of Python's before it.
  const what = cause.type === "TemplateError" ? cause.message : `${cause.type}: ${messageOf(cause)}`;
  return new LoraFleetError("invalid_dataset", `the chat template refuses the messages: ${what}`, { cause });
}

function unsupported(cause: UnsupportedError): LoraFleetError {
  return invalidModel(
    `the base model's chat template uses what is not supported: ${cause.message}; set a different chat template`,
    cause,
  );
}

function invalidModel(message: string, cause?: unknown): LoraFleetError {
  return new LoraFleetError("invalid_model", message, { param: "chat_template", cause });
}

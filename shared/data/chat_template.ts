/** Chats as text: the base model's Jinja template, with what transformers gives it. */
import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { LoraFleetError, messageOf } from "../errors.ts";
import type { PyValue } from "./python/value.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A message as its template sees it: a role and whatever else the dataset has. */
export type ChatMessage = Readonly<Record<string, unknown>> & { readonly role: string };

/** A message as its template sees it: `role` and whatever else the row has, in the row's order. */
export type TemplateMessage = ReadonlyMap<string, PyValue>;

export interface RenderOptions {
  /** End with the words that make the model answer. */
  readonly addGenerationPrompt?: boolean;
  readonly tools?: PyValue;
  readonly documents?: PyValue;
  /** Further variables of the template, such as a row's `chat_template_kwargs`; they win over what is given else. */
  readonly kwargs?: ReadonlyMap<string, PyValue>;
}

export interface Rendered {
  readonly text: string;
  /**
   * What `{% generation %}` blocks wrote: from and to, in UTF-16 units of `text`, as `return_assistant_tokens_mask` of
   * transformers finds them. Empty where the template has no such blocks.
   */
  readonly generated: readonly (readonly [number, number])[];
}

export interface ChatTemplate {
  readonly source: string;
  /** Whether the template marks the assistant's words itself, by `{% generation %}`. */
  readonly hasGenerationBlocks: boolean;
  /**
   * Throws a `LoraFleetError`: `invalid_dataset` where the template refuses the messages (the caller adds the line),
   * `invalid_model` where the template asks for what is not supported.
   */
  render(messages: readonly TemplateMessage[], options?: RenderOptions): Rendered;
}

/**
 * Throws a `LoraFleetError` with code `invalid_model` where the base model has no chat template or one that does not
 * parse.
 *
 * Today's date does not exist in it, although transformers gives templates `strftime_now`: the same file would make
 * other data each day. A template that asks whether it is defined falls back to its own date; the others get a fixed
 * one.
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
    hasGenerationBlocks: false,
    render(
      messages,
      { addGenerationPrompt = false, tools = null, documents = null, kwargs = new Map() } = {},
    ) {
      try {
        const environment = globals(source);
        const given = {
          ...context,
          messages: plain(messages as PyValue),
          tools: plain(tools),
          documents: plain(documents),
          add_generation_prompt: addGenerationPrompt,
          ...Object.fromEntries([...kwargs].map(([name, value]) => [name, plain(value)])),
        };
        for (const [name, value] of Object.entries(given)) environment.set(name, value);
        return { text: String(new Interpreter(environment).run(template.parsed).value), generated: [] };
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

/** For an engine that knows JavaScript's values only. */
function plain(value: PyValue): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([key, field]) => [key, plain(field)]));
}

/** What `Template.render` defines, with a date that stands still. */
function globals(source: string): Environment {
  const environment = new Environment();
  for (const [name, value] of [["true", true], ["false", false], ["none", null]] as const) {
    environment.set(name, value);
    environment.set(name[0]!.toUpperCase() + name.slice(1), value);
  }
  environment.set("raise_exception", (message: unknown) => {
    throw new Error(String(message));
  });
  environment.set("range", range);
  if (!/strftime_now\s+is\s+(not\s+)?defined/.test(source)) environment.set("strftime_now", fixedDate);
  return environment;
}

/** Python's `range`. */
function range(first: number, second?: number, step = 1): number[] {
  const [from, to] = second === undefined ? [0, first] : [first, second];
  if (step === 0) throw new Error("range() step must not be zero");
  return Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, i) => from + i * step);
}

/** 26 July 2024, the date that Llama 3's own template falls back to. */
function fixedDate(format: string): string {
  const parts: Readonly<Record<string, string>> = {
    Y: "2024",
    m: "07",
    d: "26",
    B: "July",
    b: "Jul",
    A: "Friday",
    a: "Fri",
  };
  return format.replace(/%(.)/g, (directive, letter: string) => {
    const part = parts[letter];
    if (part === undefined) throw new Error(`strftime_now: ${directive} is not supported`);
    return part;
  });
}

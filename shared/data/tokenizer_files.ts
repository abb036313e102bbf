/** A tokenizer's files in a folder of Hugging Face layout, parsed: what of them decides about token ids. */
import { join } from "@std/path";
import { z } from "zod";
import { LoraFleetError, messageOf } from "../errors.ts";
import { type ChatTemplates, readChatTemplates } from "./named_templates.ts";

/** Special tokens are written as a text or as an object with a `content`. */
const specialTokenSchema = z.union([
  z.string(),
  z.looseObject({ content: z.string() }).transform((t) => t.content),
])
  .nullish();
const tokenIdsSchema = z.union([z.int().min(0).transform((id) => [id]), z.array(z.int().min(0))]).nullish();

const addedTokenSchema = z.looseObject({
  id: z.int().min(0),
  content: z.string().min(1),
  special: z.boolean(),
});

const tokenizerSchema = z.looseObject({
  added_tokens: z.array(addedTokenSchema).default([]),
  model: z.looseObject({ type: z.string().optional() }),
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  post_processor: z.unknown(),
  decoder: z.unknown(),
});
export type TokenizerJson = z.output<typeof tokenizerSchema>;

const specialTokenFields = {
  bos_token: specialTokenSchema,
  eos_token: specialTokenSchema,
  pad_token: specialTokenSchema,
  unk_token: specialTokenSchema,
};
const specialTokensMapSchema = z.looseObject(specialTokenFields);
const tokenizerConfigSchema = z.looseObject({
  ...specialTokenFields,
  clean_up_tokenization_spaces: z.boolean().nullish(),
  chat_template: z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish(),
});
export type TokenizerConfig = z.output<typeof tokenizerConfigSchema>;

const modelConfigSchema = z.looseObject({ eos_token_id: tokenIdsSchema });

export interface TokenizerFiles {
  readonly tokenizer: TokenizerJson;
  readonly config: TokenizerConfig;
  /** Texts of the named special tokens, null where there is none. */
  readonly special: Readonly<Record<"bos" | "eos" | "pad" | "unk", string | null>>;
  /** Ids at which generation stops, by generation_config.json or else config.json. */
  readonly stopIds: readonly number[];
  readonly chatTemplate: ChatTemplates | null;
}

/**
 * Reads tokenizer.json and, where they exist, tokenizer_config.json, special_tokens_map.json, generation_config.json,
 * config.json and the chat templates (named_templates.ts).
 * Throws a `LoraFleetError` with code `invalid_model` that names the file.
 */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const tokenizer = await readJson(folder, "tokenizer.json", tokenizerSchema);
  if (tokenizer === null) {
    throw new LoraFleetError(
      "invalid_model",
      `the folder ${folder} has no tokenizer.json; other tokenizer formats can be converted with ` +
        `transformers' AutoTokenizer.from_pretrained(…).save_pretrained(…)`,
      { param: "tokenizer.json" },
    );
  }
  const config = await readJson(folder, "tokenizer_config.json", tokenizerConfigSchema) ?? {};
  const map = await readJson(folder, "special_tokens_map.json", specialTokensMapSchema) ?? {};
  const generation = await readJson(folder, "generation_config.json", modelConfigSchema);
  const model = await readJson(folder, "config.json", modelConfigSchema);
  const special = (name: "bos_token" | "eos_token" | "pad_token" | "unk_token") =>
    config[name] ?? map[name] ?? null;
  return {
    tokenizer,
    config,
    special: {
      bos: special("bos_token"),
      eos: special("eos_token"),
      pad: special("pad_token"),
      unk: special("unk_token"),
    },
    stopIds: generation?.eos_token_id ?? model?.eos_token_id ?? [],
    chatTemplate: await readChatTemplates(folder, config.chat_template ?? null),
  };
}

async function readJson<T>(folder: string, name: string, schema: z.ZodType<T>): Promise<T | null> {
  const text = await readText(folder, name);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new LoraFleetError("invalid_model", `${name} is not JSON: ${messageOf(cause)}`, {
      param: name,
      cause,
    });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new LoraFleetError(
    "invalid_model",
    `${name}: ${issue.path.length === 0 ? "the whole" : issue.path.join(".")}: ${issue.message}`,
    { param: name, cause: result.error },
  );
}

async function readText(folder: string, name: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(join(folder, name));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw new LoraFleetError("invalid_model", `cannot read ${name}: ${messageOf(error)}`, {
      param: name,
      cause: error,
    });
  }
}

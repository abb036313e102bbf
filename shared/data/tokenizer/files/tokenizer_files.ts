/** A tokenizer's files in a folder of Hugging Face layout, parsed: what of them decides about token ids. */
import { join } from "@std/path";
import { z } from "zod";
import { LoraFleetError, messageOf } from "../../../errors.ts";
import { turnOfEventLoop } from "../../../std/turn.ts";
import { readOutline } from "./json_outline.ts";
import { type ChatTemplates, readChatTemplates } from "./named_templates.ts";

/** Looked through at once: less than a millisecond. */
const PIECE_BYTES = 2 ** 16;

const addedTokenFields = {
  content: z.string(),
  special: z.boolean().optional(),
  single_word: z.boolean().optional(),
  lstrip: z.boolean().optional(),
  rstrip: z.boolean().optional(),
  normalized: z.boolean().optional(),
};
/** Special tokens are written as a text or as an object with a `content`. */
const specialTokenSchema = z.union([z.string(), z.looseObject(addedTokenFields)]).nullish();
/** No token has a negative id: -1 is how some write that there is none. */
const tokenIdsSchema = z.union([z.int(), z.array(z.int())], { error: "an id or a list of ids is needed" })
  .transform((ids) => [ids].flat().filter((id) => id >= 0)).nullish();

const tokenizerSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ ...addedTokenFields, id: z.int().min(0) })).default([]),
  // Hundreds of thousands of entries: what reads them checks them.
  model: z.looseObject({ type: z.string().optional() }),
  normalizer: z.unknown().optional(),
  pre_tokenizer: z.unknown().optional(),
  post_processor: z.unknown().optional(),
  decoder: z.unknown().optional(),
});
export type TokenizerJson = z.output<typeof tokenizerSchema>;

const extraTokensSchema = z.union([
  z.array(z.union([z.string(), z.looseObject(addedTokenFields)])),
  z.record(z.string(), z.union([z.string(), z.looseObject(addedTokenFields)])),
]).nullish();
const specialTokensFields = {
  bos_token: specialTokenSchema,
  eos_token: specialTokenSchema,
  unk_token: specialTokenSchema,
  sep_token: specialTokenSchema,
  pad_token: specialTokenSchema,
  cls_token: specialTokenSchema,
  mask_token: specialTokenSchema,
  extra_special_tokens: extraTokensSchema,
  additional_special_tokens: extraTokensSchema,
};
const specialTokensMapSchema = z.looseObject(specialTokensFields);
const tokenizerConfigSchema = z.looseObject({
  ...specialTokensFields,
  added_tokens_decoder: z.record(
    z.string().regex(/^\d+$/, "an id is needed"),
    z.looseObject(addedTokenFields),
  )
    .nullish(),
  clean_up_tokenization_spaces: z.boolean().nullish(),
  chat_template: z.union([
    z.string(),
    z.array(z.looseObject({ name: z.string(), template: z.string() })),
    z.record(z.string(), z.string()),
  ], { error: "a template, a list of {name, template}, or an object of templates by name is needed" })
    .nullish(),
});
type TokenizerConfig = z.output<typeof tokenizerConfigSchema>;
const addedTokensFileSchema = z.record(z.string(), z.int().min(0));

const modelConfigSchema = z.looseObject({ eos_token_id: tokenIdsSchema });

export interface TokenizerFiles {
  readonly tokenizer: TokenizerJson;
  readonly config: TokenizerConfig;
  readonly specialTokensMap: z.output<typeof specialTokensMapSchema>;
  /** Texts and ids in added_tokens.json. */
  readonly addedTokensFile: z.output<typeof addedTokensFileSchema>;
  /** Ids at which generation stops, by generation_config.json or else config.json. */
  readonly stopIds: readonly number[];
  readonly chatTemplate: ChatTemplates | null;
}

/**
 * Reads tokenizer.json and, if they exist, tokenizer_config.json, special_tokens_map.json, added_tokens.json,
 * generation_config.json, config.json and the chat templates (named_templates.ts).
 * Throws a `LoraFleetError` with code `invalid_model` that names the file.
 */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  return { tokenizer: await readTokenizerJson(folder), ...await readFilesBeside(folder) };
}

/** tokenizer.json alone. Throws as `readTokenizerFiles`. */
export async function readTokenizerJson(folder: string): Promise<TokenizerJson> {
  const tokenizer = await readJson(folder, "tokenizer.json", tokenizerSchema);
  if (tokenizer === null) throw noTokenizer(folder);
  return tokenizer;
}

/**
 * tokenizer.json with an empty vocabulary and empty merges if they are large, read without keeping others waiting. Throws as
 * `readTokenizerFiles`; null if more than `maxBytes` are left of it.
 */
export async function readTokenizerOutline(folder: string, maxBytes: number): Promise<TokenizerJson | null> {
  const name = "tokenizer.json";
  try {
    using file = await Deno.open(join(folder, name));
    const outline = await readOutline(piecesOf(file), maxBytes);
    return outline === null ? null : parseJson(outline, tokenizerSchema, name);
  } catch (thrown) {
    if (thrown instanceof LoraFleetError) throw thrown;
    if (thrown instanceof Deno.errors.NotFound) throw noTokenizer(folder);
    throw unreadable(name, thrown);
  }
}

/** All in one buffer: each is used up before the next is read. */
async function* piecesOf(file: Deno.FsFile): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(PIECE_BYTES);
  for (let count = await file.read(buffer); count !== null; count = await file.read(buffer)) {
    yield buffer.subarray(0, count);
    await turnOfEventLoop();
  }
}

/** Whether a plan can know rows and tokens. */
export async function hasTokenizer(folder: string): Promise<boolean> {
  return await Deno.stat(join(folder, "tokenizer.json")).then(() => true, () => false);
}

export function noTokenizer(folder: string): LoraFleetError {
  return new LoraFleetError(
    "invalid_model",
    `the folder ${folder} has no tokenizer.json; other tokenizer formats can be converted with ` +
      `transformers' AutoTokenizer.from_pretrained(…).save_pretrained(…)`,
    { param: "tokenizer.json" },
  );
}

/** All files but tokenizer.json: small ones. Throws as `readTokenizerFiles`. */
export async function readFilesBeside(folder: string): Promise<Omit<TokenizerFiles, "tokenizer">> {
  const config = await readJson(folder, "tokenizer_config.json", tokenizerConfigSchema) ?? {};
  const specialTokensMap = await readJson(folder, "special_tokens_map.json", specialTokensMapSchema) ?? {};
  const addedTokensFile = await readJson(folder, "added_tokens.json", addedTokensFileSchema) ?? {};
  const generation = await readJson(folder, "generation_config.json", modelConfigSchema);
  const model = await readJson(folder, "config.json", modelConfigSchema);
  return {
    config,
    specialTokensMap,
    addedTokensFile,
    stopIds: generation?.eos_token_id ?? model?.eos_token_id ?? [],
    chatTemplate: await readChatTemplates(folder, config.chat_template ?? null),
  };
}

/** Throws a `LoraFleetError` with code `invalid_model` that names the field. */
export function parseTokenizerJson(value: unknown): TokenizerJson {
  return parseWith(tokenizerSchema, value, "tokenizer.json");
}

async function readJson<T>(folder: string, name: string, schema: z.ZodType<T>): Promise<T | null> {
  const text = await readText(folder, name);
  return text === null ? null : parseJson(text, schema, name);
}

function parseJson<T>(text: string, schema: z.ZodType<T>, name: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new LoraFleetError("invalid_model", `${name} is not JSON: ${messageOf(cause)}`, {
      param: name,
      cause,
    });
  }
  return parseWith(schema, value, name);
}

function parseWith<T>(schema: z.ZodType<T>, value: unknown, name: string): T {
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
    throw unreadable(name, error);
  }
}

function unreadable(name: string, cause: unknown): LoraFleetError {
  const message = `cannot read ${name}: ${messageOf(cause)}`;
  return new LoraFleetError("invalid_model", message, { param: name, cause });
}

/**
 * A tokenizer's added tokens are declared in up to four files, and their ids are given out anew each time they are read:
 * as transformers' `TokenizersBackend` and the Rust library's `AddedVocabulary.add_tokens` do it.
 */
import type { AddedToken } from "./added_tokens.ts";

/** An added token as a file declares it. Where `normalized` is absent, it is the opposite of `special`. */
export interface Declaration {
  readonly content: string;
  readonly special?: boolean | undefined;
  readonly single_word?: boolean | undefined;
  readonly lstrip?: boolean | undefined;
  readonly rstrip?: boolean | undefined;
  readonly normalized?: boolean | undefined;
}

/** The files' fields that name tokens. */
export interface DeclaringFiles {
  /** tokenizer.json's `added_tokens`. */
  readonly addedTokens: readonly Declaration[];
  /** tokenizer_config.json. */
  readonly config: Readonly<Record<string, unknown>>;
  /** special_tokens_map.json. */
  readonly specialTokensMap: Readonly<Record<string, unknown>>;
  /** added_tokens.json: texts and ids. */
  readonly addedTokensFile: Readonly<Record<string, number>>;
}

export interface DeclaredTokens {
  readonly addedTokens: readonly AddedToken[];
  /** Texts of the named special tokens, by their field. */
  readonly named: ReadonlyMap<string, string>;
}

const NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

type Flags = Omit<AddedToken, "id">;
/** A text alone says nothing of flags. */
type Named = string | Declaration;

/** @param vocabulary the model's. */
export function declareTokens(
  files: DeclaringFiles,
  vocabulary: ReadonlyMap<string, number>,
): DeclaredTokens {
  const list = createAddedTokenList(vocabulary);
  list.add(files.addedTokens.map(withFlags));

  const { declared, named, extra } = collect(files);
  const missing = new Map<string, Flags>();
  for (const token of declared) {
    const flags = withFlags(token);
    if (!list.has(flags)) missing.set(flags.content, flags);
  }
  for (const token of [...named.values(), ...extra]) {
    const content = textOf(token);
    if (list.hasContent(content) || missing.has(content)) continue;
    missing.set(content, withFlags(typeof token === "string" ? { content, special: true } : token));
  }
  const namedTexts = new Set([...named.values()].map(textOf));
  list.add(
    [...missing.values()].map((flags) => namedTexts.has(flags.content) ? { ...flags, special: true } : flags),
  );
  list.add([...named.values(), ...extra].map((token) => ({
    ...withFlags(typeof token === "string" ? { content: token, special: true } : token),
    special: true,
  })));
  return {
    addedTokens: list.tokens(),
    named: new Map([...named].map(([name, token]) => [name, textOf(token)])),
  };
}

interface Collected {
  /** Those with flags, in the order of their ids. */
  readonly declared: readonly Declaration[];
  readonly named: ReadonlyMap<string, Named>;
  readonly extra: readonly Named[];
}

/** What `PreTrainedTokenizerBase._from_pretrained` makes of the files. */
function collect({ addedTokens, config, specialTokensMap, addedTokensFile }: DeclaringFiles): Collected {
  const fields = new Map(Object.entries(config));
  if (fields.has("additional_special_tokens") && isEmpty(fields.get("extra_special_tokens"))) {
    fields.set("extra_special_tokens", fields.get("additional_special_tokens"));
  }
  const decoder = config["added_tokens_decoder"];
  const declared = new Map<number, Declaration>();
  if (isRecord(decoder)) {
    // The legacy files beside it are not read.
    for (const [id, token] of Object.entries(decoder)) {
      if (isDeclaration(token)) declared.set(Number(id), token);
    }
  } else {
    mergeSpecialTokensMap(fields, specialTokensMap);
    declareAddedTokensFile(declared, addedTokensFile, fields);
  }
  const withFlagsOf = new Map([
    ...declared.values(),
    ...(isRecord(decoder) ? [] : addedTokens),
  ].map((token) => [token.content, token]));

  const named = new Map<string, Named>();
  for (const name of NAMES) {
    const token = fields.get(name);
    if (isNamed(token)) named.set(name, withFlagsOf.get(textOf(token)) ?? token);
  }
  // Models have further ones of their own, such as an image_token.
  for (const [name, token] of fields) {
    const isOfModel = name.endsWith("_token") && !NAMES.includes(name);
    if (isOfModel && typeof token === "string" && token !== "") named.set(name, token);
  }
  const extra = fields.get("extra_special_tokens");
  if (isRecord(extra)) {
    for (const [name, token] of Object.entries(extra)) if (isNamed(token)) named.set(name, token);
  }
  return {
    declared: [...declared].sort(([a], [b]) => a - b).map(([, token]) => token),
    named,
    extra: Array.isArray(extra) ? extra.filter(isNamed) : [],
  };
}

function mergeSpecialTokensMap(
  fields: Map<string, unknown>,
  specialTokensMap: Readonly<Record<string, unknown>>,
): void {
  for (const [name, value] of Object.entries(specialTokensMap)) {
    const token = isDeclaration(value) ? { ...value, special: true } : value;
    const previous = fields.get(name);
    const joins = name === "extra_special_tokens" && Array.isArray(token) && Array.isArray(previous);
    fields.set(name, joins ? [...previous, ...token] : token);
  }
  if (fields.has("additional_special_tokens") && !fields.has("extra_special_tokens")) {
    fields.set("extra_special_tokens", fields.get("additional_special_tokens"));
  }
}

function declareAddedTokensFile(
  declared: Map<number, Declaration>,
  file: Readonly<Record<string, number>>,
  fields: ReadonlyMap<string, unknown>,
): void {
  const extra = fields.get("extra_special_tokens");
  const specials = new Set(
    [...NAMES.map((name) => fields.get(name)), ...(Array.isArray(extra) ? extra : [])].filter(isNamed).map(
      textOf,
    ),
  );
  for (const [content, id] of Object.entries(file)) {
    const special = specials.has(content);
    declared.set(id, { content, special, normalized: !special });
  }
}

interface AddedTokenList {
  add(tokens: readonly Flags[]): void;
  has(flags: Flags): boolean;
  hasContent(content: string): boolean;
  tokens(): AddedToken[];
}

function createAddedTokenList(vocabulary: ReadonlyMap<string, number>): AddedTokenList {
  const byContent = new Map<string, AddedToken>();
  const has = (flags: Flags): boolean => {
    const known = byContent.get(flags.content);
    return known !== undefined && FLAGS.every((flag) => known[flag] === flags[flag]);
  };
  return {
    has,
    hasContent: (content) => byContent.has(content),
    tokens: () => [...byContent.values()],
    add(tokens) {
      const highest = Math.max(-1, ...byContent.values().map(({ id }) => id));
      let next = Math.max(highest + 1, vocabulary.size);
      for (const flags of tokens) {
        if (flags.content === "" || has(flags)) continue;
        const id = byContent.get(flags.content)?.id ?? vocabulary.get(flags.content) ?? next++;
        byContent.set(flags.content, { ...flags, id });
      }
    },
  };
}

const FLAGS = ["special", "single_word", "lstrip", "rstrip", "normalized"] as const;

function withFlags(token: Declaration): Flags {
  const special = token.special ?? false;
  return {
    content: token.content,
    special,
    single_word: token.single_word ?? false,
    lstrip: token.lstrip ?? false,
    rstrip: token.rstrip ?? false,
    normalized: token.normalized ?? !special,
  };
}

function textOf(token: Named): string {
  return typeof token === "string" ? token : token.content;
}

function isNamed(value: unknown): value is Named {
  return typeof value === "string" || isDeclaration(value);
}

function isDeclaration(value: unknown): value is Declaration {
  return isRecord(value) && typeof value["content"] === "string";
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null ||
    (Array.isArray(value) ? value.length === 0 : isRecord(value) && Object.keys(value).length === 0);
}

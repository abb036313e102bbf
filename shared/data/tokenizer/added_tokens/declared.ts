/**
 * A tokenizer's added tokens are declared in up to four files, and their ids are given out anew each time they are read:
 * as transformers' `TokenizersBackend` and the Rust library's `AddedVocabulary.add_tokens` do it.
 */
import type { AddedToken } from "./finder.ts";

/** An added token as a file declares it. Where `normalized` is absent, it is the opposite of `special`. */
interface Declaration {
  readonly content: string;
  readonly special?: boolean | undefined;
  readonly single_word?: boolean | undefined;
  readonly lstrip?: boolean | undefined;
  readonly rstrip?: boolean | undefined;
  readonly normalized?: boolean | undefined;
}

interface DeclaringFiles {
  readonly addedTokens: readonly (Declaration & { readonly id: number })[];
  readonly config: Readonly<Record<string, unknown>>;
  readonly specialTokensMap: Readonly<Record<string, unknown>>;
  /** added_tokens.json: texts and ids. */
  readonly addedTokensFile: Readonly<Record<string, number>>;
}

interface DeclaredTokens {
  readonly addedTokens: readonly AddedToken[];
  /** Texts of the named special tokens, by their field. */
  readonly named: ReadonlyMap<string, string>;
}

const NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

type Flags = Omit<AddedToken, "id" | "decodesNormalized">;
/** A text alone says nothing of flags. */
type Named = string | Declaration;

export function declareTokens(
  files: DeclaringFiles,
  vocabulary: ReadonlyMap<string, number>,
): DeclaredTokens {
  const list = createAddedTokenList(vocabulary);
  list.add(files.addedTokens.map(withFlags));

  const { declared, named, extra } = collect(files);
  const missing: Named[] = [...declared];
  const known = new Set([...list.tokens(), ...missing].map(textOf));
  for (const token of [...named.values(), ...extra]) {
    if (!known.has(textOf(token)) && !missing.some((other) => isSame(other, token))) missing.push(token);
  }
  const texts = new Set([...named.values()].map(textOf));
  list.add(missing.map((token) => {
    if (typeof token === "string") return withFlags({ content: token, special: true });
    return withFlags(texts.has(token.content) ? { ...token, special: true } : token);
  }));
  return {
    addedTokens: list.tokens(),
    named: new Map([...named].map(([name, token]) => [name, textOf(token)])),
  };
}

function isSame(a: Named, b: Named): boolean {
  if (typeof a === "string" || typeof b === "string") return a === b;
  const [first, second] = [withFlags(a), withFlags(b)];
  return first.content === second.content && FLAGS.every((flag) => first[flag] === second[flag]);
}

interface Collected {
  /** Those with flags, in the order of their ids. */
  readonly declared: readonly Declaration[];
  readonly named: ReadonlyMap<string, Named>;
  readonly extra: readonly Named[];
}

/** What `PreTrainedTokenizerBase._from_pretrained` and its constructor make of the files. */
function collect({ addedTokens, config, specialTokensMap, addedTokensFile }: DeclaringFiles): Collected {
  const fields = new Map(Object.entries(config));
  if (fields.has("additional_special_tokens") && isEmpty(fields.get("extra_special_tokens"))) {
    moveField(fields, "additional_special_tokens", "extra_special_tokens");
  }
  // Models have further ones of their own, such as an image_token.
  const ofModel = new Map(
    [...fields].filter(([name, token]) => isModelToken(name) && typeof token === "string"),
  );
  for (const name of ofModel.keys()) fields.delete(name);
  moveEntries(fields, "extra_special_tokens", ofModel);

  const declared = new Map<number, Declaration>();
  const declaredTexts = new Map<string, Declaration>();
  const declare = (id: number, token: Declaration): void => {
    declared.set(id, token);
    declaredTexts.set(token.content, token);
  };
  const decoder = config["added_tokens_decoder"];
  if (isRecord(decoder)) {
    // The legacy files are not read then.
    for (const [id, token] of Object.entries(decoder)) if (isDeclaration(token)) declare(Number(id), token);
  } else {
    mergeSpecialTokensMap(fields, specialTokensMap);
    moveEntries(fields, "extra_special_tokens", ofModel);
    const specials = textsOf(fields);
    for (const [content, id] of Object.entries(addedTokensFile)) {
      declare(id, { content, special: specials.has(content), normalized: !specials.has(content) });
    }
    for (const token of addedTokens) declare(token.id, token);
  }
  if (!fields.has("extra_special_tokens")) {
    moveField(fields, "additional_special_tokens", "extra_special_tokens");
  }

  const named = new Map<string, Named>();
  for (const name of NAMES) {
    const token = fields.get(name);
    if (isNamed(token)) named.set(name, declaredTexts.get(textOf(token)) ?? token);
  }
  for (const [name, token] of fields) if (isModelToken(name) && isNamed(token)) named.set(name, token);
  for (const [name, token] of ofModel) if (isNamed(token)) named.set(name, token);
  const extra = fields.get("extra_special_tokens");
  return {
    declared: [...declared].sort(([a], [b]) => a - b).map(([, token]) => token),
    named,
    extra: Array.isArray(extra) ? extra.filter(isNamed) : [],
  };
}

function isModelToken(name: string): boolean {
  return name.endsWith("_token") && !NAMES.includes(name);
}

function moveField(fields: Map<string, unknown>, from: string, to: string): void {
  if (!fields.has(from)) return;
  fields.set(to, fields.get(from));
  fields.delete(from);
}

/** An object in the place of a list names tokens. */
function moveEntries(fields: Map<string, unknown>, from: string, to: Map<string, unknown>): void {
  const value = fields.get(from);
  if (!isRecord(value)) return;
  fields.delete(from);
  for (const [name, token] of Object.entries(value)) to.set(name, token);
}

/** Texts of the named and the further special tokens, but for the typed objects of tokenizer_config.json. */
function textsOf(fields: ReadonlyMap<string, unknown>): ReadonlySet<string> {
  const extra = fields.get("extra_special_tokens");
  const tokens = [...NAMES.map((name) => fields.get(name)), ...(Array.isArray(extra) ? extra : [])];
  return new Set(
    tokens.filter(isNamed).filter((token) => typeof token === "string" || !("__type" in token)).map(textOf),
  );
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
}

interface AddedTokenList {
  add(tokens: readonly Flags[]): void;
  tokens(): AddedToken[];
}

function createAddedTokenList(vocabulary: ReadonlyMap<string, number>): AddedTokenList {
  const byContent = new Map<string, Flags & { readonly id: number }>();
  // Decoding goes by sets that only grow: once special, always special.
  const specials = new Set<string>();
  const normalized = new Set<string>();
  const has = (flags: Flags): boolean => {
    const known = byContent.get(flags.content);
    return known !== undefined && FLAGS.every((flag) => known[flag] === flags[flag]);
  };
  return {
    tokens: () =>
      byContent.values().map((token) => ({
        ...token,
        special: specials.has(token.content),
        decodesNormalized: normalized.has(token.content),
      })).toArray(),
    add(tokens) {
      const highest = Math.max(-1, ...byContent.values().map(({ id }) => id));
      let next = Math.max(highest + 1, vocabulary.size);
      for (const flags of tokens) {
        if (flags.content === "" || has(flags)) continue;
        const id = byContent.get(flags.content)?.id ?? vocabulary.get(flags.content) ?? next++;
        byContent.set(flags.content, { ...flags, id });
        if (flags.special) specials.add(flags.content);
        if (flags.normalized) normalized.add(flags.content);
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

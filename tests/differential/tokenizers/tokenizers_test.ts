/** Token ids and decoded texts beside the Rust library's, on seeded texts, for one tokenizer of each family. */
import { assertEquals } from "@std/assert";
import { createTokenizer, type Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import {
  parseTokenizerJson,
  readTokenizerFiles,
  type TokenizerFiles,
} from "../../../shared/data/tokenizer/files/tokenizer_files.ts";
import { characters } from "../../../shared/data/tokenizer/text/unicode.ts";
import { FAMILIES, findDifferences, openFamily, readFamily, readGzippedJson, textsOf } from "./compare.ts";
import unicodeSets from "./unicode_sets.json" with { type: "json" };

/** A part of the texts; tests/differential/tokenizers/main.ts takes all of them. */
const SHARE = 5000;

for (const name of FAMILIES) {
  Deno.test(`${name}: ids and texts are the Rust library's`, async () => {
    assertEquals(await findDifferences(name, SHARE), []);
  });
}

const HIDING = [
  "gpt2",
  "llama3",
  "qwen2",
  "smollm",
  "starcoder",
  "deepseek",
  "llama2",
  "mistral",
  "metaspace_first",
];
for (const name of HIDING) {
  Deno.test(`${name}: hidden special tokens are encoded as if there were none`, async () => {
    const json = await readFamily(name);
    const tokenizer = await openFamily(name);
    const without = withAddedTokens(json, (token) => !token.special);
    for (const text of textsOf(name, 1500)) {
      assertEquals(
        tokenizer.encode(text, { addSpecialTokens: false }),
        without.encode(text, { addSpecialTokens: false }),
        JSON.stringify(text),
      );
    }
  });
}

/** As though the vocabulary had never had the others. */
function withAddedTokens(
  json: TokenizerFiles["tokenizer"],
  keeps: (token: { readonly special?: boolean | undefined }) => boolean,
): Tokenizer {
  return createTokenizer({
    tokenizer: parseTokenizerJson({ ...json, added_tokens: json.added_tokens.filter(keeps) }),
    ...{ config: {}, specialTokensMap: {}, addedTokensFile: {}, stopIds: [], chatTemplate: null },
  });
}

interface DeclaredCase {
  readonly files: Readonly<Record<string, unknown>>;
  readonly result: {
    readonly ids: number[][];
    readonly plain: string[];
    readonly named: (number | null)[];
  };
}

Deno.test("tokens declared in any of four files get the ids and flags that transformers gives them", async () => {
  const { probes, cases } = await readGzippedJson("declared.json.gz") as {
    probes: string[];
    cases: DeclaredCase[];
  };
  const folder = await Deno.makeTempDir();
  try {
    assertEquals(cases.length, 400);
    for (const { files, result } of cases) {
      for (const { name } of Deno.readDirSync(folder)) await Deno.remove(`${folder}/${name}`);
      for (const [name, content] of Object.entries(files)) {
        await Deno.writeTextFile(`${folder}/${name}`, JSON.stringify(content));
      }
      const tokenizer = createTokenizer(await readTokenizerFiles(folder));
      const ids = probes.map((probe) => tokenizer.encode(probe, { splitSpecialTokens: false }));
      assertEquals(
        {
          ids,
          plain: ids.map((ofProbe) => tokenizer.decode(ofProbe, { skipSpecialTokens: true })),
          named: [tokenizer.bosTokenId, tokenizer.eosTokenIds[0] ?? null, tokenizer.padTokenId],
        },
        { ids: result.ids, plain: result.plain, named: result.named },
        JSON.stringify(files),
      );
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

const CLASSES: Readonly<Record<string, string>> = {
  whitespace: characters.whitespace,
  onig_s: characters.whitespace,
  onig_d: "\\p{Nd}",
  word: characters.word,
  numeric: characters.numeric,
  punctuation: characters.punctuation,
  Han: "\\p{Script=Han}",
};
const SCRIPTS = new Set([
  "Hiragana",
  "Katakana",
  "Hangul",
  "Latin",
  "Cyrillic",
  "Greek",
  "Arabic",
  "Hebrew",
  "Thai",
  "Devanagari",
]);

Deno.test("each property that patterns use has the Rust library's members, of all code points", async () => {
  const different: string[] = [];
  for (const [name, sha256] of Object.entries(unicodeSets)) {
    const inClass = CLASSES[name] ?? (SCRIPTS.has(name) ? `\\p{Script=${name}}` : `\\p{${name}}`);
    if (await hashOfMembers(inClass) !== sha256) different.push(name);
  }
  assertEquals(different, []);
});

async function hashOfMembers(inClass: string): Promise<string> {
  const member = new RegExp(`^[${inClass}]$`, "u");
  const spans: string[] = [];
  const hex = (point: number) => point.toString(16).toUpperCase();
  let start = -1;
  for (let point = 0; point <= 0x110000; point++) {
    const isSurrogate = point >= 0xd800 && point < 0xe000;
    const isMember = point < 0x110000 && !isSurrogate && member.test(String.fromCodePoint(point));
    if (isMember && start === -1) start = point;
    if (isMember || start === -1) continue;
    spans.push(start === point - 1 ? hex(start) : `${hex(start)}-${hex(point - 1)}`);
    start = -1;
  }
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(spans.join(" ")));
  return new Uint8Array(digest).toHex();
}

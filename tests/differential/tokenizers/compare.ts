/** What the Rust library made of the seeded texts (make_goldens.py), to be compared with what we make of them. */
import { createTokenizer, type Tokenizer } from "../../../shared/data/tokenizer.ts";
import { parseTokenizerJson } from "../../../shared/data/tokenizer_files.ts";
import index from "./families.json" with { type: "json" };
import { makeTexts } from "./texts.ts";

export const FAMILIES: readonly string[] = index.names;
export const TEXT_COUNT: number = index.count;

const here = new URL(".", import.meta.url);

/** One of the small tokenizers. */
export async function openFamily(name: string): Promise<Tokenizer> {
  const file = await Deno.open(new URL(`families/${name}.json.gz`, here));
  const text = await new Response(file.readable.pipeThrough(new DecompressionStream("gzip"))).text();
  return createTokenizer({
    tokenizer: parseTokenizerJson(JSON.parse(text)),
    ...{ config: {}, specialTokensMap: {}, addedTokensFile: {}, stopIds: [], chatTemplate: null },
  });
}

/** The blocks of texts that differ from the Rust library's results, of the first `count` texts. */
export async function findDifferences(name: string, count: number): Promise<string[][]> {
  const { seed, block } = index;
  const texts = makeTexts(seed, TEXT_COUNT);
  const bytes = await Deno.readFile(new URL("goldens.bin", here));
  const goldens = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const first = FAMILIES.indexOf(name) * (TEXT_COUNT / block);
  const tokenizer = await openFamily(name);
  const different: string[][] = [];
  for (let start = 0; start < count; start += block) {
    const ofBlock = texts.slice(start, start + block);
    const value = ofBlock.reduce((hash, text) => hashText(hash, tokenizer, text), 0x811c9dc5);
    if (value !== goldens[first + start / block]) different.push(ofBlock);
  }
  return different;
}

function hashText(value: number, tokenizer: Tokenizer, text: string): number {
  const ids = tokenizer.encode(text, { splitSpecialTokens: false });
  let hash = hashInto(hashInto(hashInto(value, 0xffffffff), ...ids), 0xfffffffe);
  for (const skipSpecialTokens of [false, true]) {
    for (const character of tokenizer.decode(ids, { skipSpecialTokens })) {
      hash = hashInto(hash, character.codePointAt(0)!);
    }
    hash = hashInto(hash, 0xfffffffd);
  }
  return hash;
}

/** FNV-1a over whole numbers instead of bytes. */
function hashInto(value: number, ...numbers: readonly number[]): number {
  for (const number of numbers) value = Math.imul(value ^ number, 0x01000193) >>> 0;
  return value;
}

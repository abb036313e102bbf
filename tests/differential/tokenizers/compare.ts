/** What the Rust library made of the seeded texts (make_goldens.py), to be compared with what we make of them. */
import { createTokenizer, type Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import {
  parseTokenizerJson,
  type TokenizerJson,
} from "../../../shared/data/tokenizer/files/tokenizer_files.ts";
import index from "./families.json" with { type: "json" };
import { makeTexts } from "./texts.ts";

export const FAMILIES: readonly string[] = index.names;
export const TEXT_COUNT: number = index.count;

let allTexts: string[] | null = null;
const here = new URL(".", import.meta.url);

/** What a script wrote beside this file. */
export async function readGzippedJson(name: string): Promise<unknown> {
  const file = await Deno.open(new URL(name, here));
  return new Response(file.readable.pipeThrough(new DecompressionStream("gzip"))).json();
}

export async function readFamily(name: string): Promise<TokenizerJson> {
  return parseTokenizerJson(await readGzippedJson(`families/${name}.json.gz`));
}

/** One of the small tokenizers. */
export async function openFamily(name: string): Promise<Tokenizer> {
  return createTokenizer({
    tokenizer: await readFamily(name),
    ...{ config: {}, specialTokensMap: {}, addedTokensFile: {}, stopIds: [], chatTemplate: null },
  });
}

/** Some of the texts, others for each family. */
export function textsOf(name: string, count: number): string[] {
  const texts = allTexts ??= makeTexts(index.seed, TEXT_COUNT);
  const start = (FAMILIES.indexOf(name) * count) % TEXT_COUNT;
  return texts.slice(start, start + count);
}

/** The blocks of texts that differ from the Rust library's results, of `count` texts; others for each family. */
export async function findDifferences(name: string, count: number): Promise<string[][]> {
  const { seed, block } = index;
  const texts = allTexts ??= makeTexts(seed, TEXT_COUNT);
  const bytes = await Deno.readFile(new URL("goldens.bin", here));
  const goldens = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const place = FAMILIES.indexOf(name);
  const first = place * (TEXT_COUNT / block);
  const from = (place * count) % TEXT_COUNT;
  const tokenizer = await openFamily(name);
  const different: string[][] = [];
  for (let start = from; start < from + count; start += block) {
    const ofBlock = texts.slice(start, start + block);
    const value = ofBlock.reduce((hash, text) => hashText(hash, tokenizer, text), 0x811c9dc5);
    if (value !== goldens[first + start / block]) different.push(ofBlock);
  }
  return different;
}

/** Ids and both ways of decoding them, in one number: FNV-1a over whole numbers instead of bytes. */
export function hashText(value: number, tokenizer: Tokenizer, text: string): number {
  const ids = tokenizer.encode(text, { splitSpecialTokens: false });
  let hash = hashInto(value, 0xffffffff);
  for (const id of ids) hash = hashInto(hash, id);
  hash = hashInto(hash, 0xfffffffe);
  for (const skipSpecialTokens of [false, true]) {
    const decoded = tokenizer.decode(ids, { skipSpecialTokens });
    for (let at = 0; at < decoded.length; at++) {
      const point = decoded.codePointAt(at)!;
      if (point > 0xffff) at++;
      hash = hashInto(hash, point);
    }
    hash = hashInto(hash, 0xfffffffd);
  }
  return hash;
}

function hashInto(value: number, number: number): number {
  return Math.imul(value ^ number, 0x01000193) >>> 0;
}

/** The demo's base model with a vocabulary of 32,000 tokens, and texts made of its tokens. */
import { join } from "@std/path";
import { pcg32 } from "../../../shared/prng.ts";

const VOCABULARY = 32_000;
const SYLLABLES = [
  "ba",
  "ke",
  "lo",
  "mi",
  "nu",
  "ra",
  "se",
  "ti",
  "vo",
  "zu",
  "an",
  "er",
  "in",
  "ol",
  "us",
  "th",
  "st",
  "qu",
];
const HIDDEN = 128;

/**
 * Byte-level BPE as in GPT-2. Its merges are not learnt: they spell made-up words from left to right until the vocabulary
 * is full, so that most words of `wideRows` are one or two tokens, as with a trained vocabulary of that size.
 */
export async function writeWideModel(folder: string, demoFolder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const tokens = [...bytesAlphabet()];
  const known = new Set(tokens);
  const merges: [string, string][] = [];
  for (const word of words()) {
    const letters = [..."Ġ" + word];
    for (let length = 2; length <= letters.length && tokens.length < VOCABULARY - 2; length++) {
      const [left, right] = [letters.slice(0, length - 1).join(""), letters[length - 1]!];
      if (known.has(left + right)) continue;
      known.add(left + right);
      tokens.push(left + right);
      merges.push([left, right]);
    }
    if (tokens.length >= VOCABULARY - 2) break;
  }
  const specials = ["<|end|>", "<|pad|>"].map((content, i) => ({
    ...{
      id: tokens.length + i,
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    },
  }));
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  await Deno.writeTextFile(
    join(folder, "tokenizer.json"),
    JSON.stringify({
      ...{ version: "1.0", truncation: null, padding: null, added_tokens: specials, normalizer: null },
      ...{ pre_tokenizer: byteLevel, post_processor: null, decoder: byteLevel },
      model: {
        ...{
          type: "BPE",
          dropout: null,
          unk_token: null,
          continuing_subword_prefix: null,
          end_of_word_suffix: null,
        },
        ...{ fuse_unk: false, byte_fallback: false, ignore_merges: false },
        ...{ vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges },
      },
    }),
  );
  await Deno.writeTextFile(
    join(folder, "tokenizer_config.json"),
    JSON.stringify({
      tokenizer_class: "PreTrainedTokenizerFast",
      eos_token: "<|end|>",
      pad_token: "<|pad|>",
    }),
  );
  const config = JSON.parse(await Deno.readTextFile(join(demoFolder, "config.json")));
  const ids = {
    vocab_size: VOCABULARY,
    eos_token_id: VOCABULARY - 2,
    bos_token_id: null,
    pad_token_id: VOCABULARY - 1,
  };
  await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify({ ...config, ...ids }));
  await writeWideWeights(join(folder, "model.safetensors"), join(demoFolder, "model.safetensors"));
}

/** The demo's, with an embedding of zeros: nothing here computes with it. */
async function writeWideWeights(path: string, demoPath: string): Promise<void> {
  const demo = await Deno.readFile(demoPath);
  const headerLength = Number(new DataView(demo.buffer).getBigUint64(0, true));
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = JSON
    .parse(new TextDecoder().decode(demo.subarray(8, 8 + headerLength)));
  const [parts, wide]: [Uint8Array[], typeof header] = [[], {}];
  let at = 0;
  for (const [name, tensor] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [from, to] = tensor.data_offsets;
    const isEmbedding = name === "model.embed_tokens.weight";
    const bytes = isEmbedding
      ? new Uint8Array(VOCABULARY * HIDDEN * 2)
      : demo.subarray(8 + headerLength + from, 8 + headerLength + to);
    const shape = isEmbedding ? [VOCABULARY, HIDDEN] : tensor.shape;
    wide[name] = { dtype: tensor.dtype, shape, data_offsets: [at, at + bytes.length] };
    parts.push(bytes);
    at += bytes.length;
  }
  const text = JSON.stringify(wide);
  const bytes = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(bytes.length), true);
  await Deno.writeFile(path, ReadableStream.from([length, bytes, ...parts]));
}

/** JSON lines of about `rowBytes` characters of text each, until there are `bytes` of them. */
export function* wideRows(bytes: number, rowBytes: number): Generator<string> {
  const prng = pcg32(1);
  const list = [...words()].slice(0, 20_000);
  for (let written = 0; written < bytes;) {
    let text = "";
    // The square of a uniform number makes the first words frequent.
    while (text.length < rowBytes) text += ` ${list[Math.floor(prng.uniform() ** 2 * list.length)]}`;
    const row = JSON.stringify({ text: text.slice(1) }) + "\n";
    written += row.length;
    yield row;
  }
}

/** Distinct words of one to four syllables. */
function* words(): Generator<string> {
  const prng = pcg32(2);
  const seen = new Set<string>();
  while (seen.size < 60_000) {
    const count = 1 + prng.below(4);
    const word = Array.from({ length: count }, () => SYLLABLES[prng.below(SYLLABLES.length)]!).join("");
    if (seen.has(word)) continue;
    seen.add(word);
    yield word;
  }
}

/** GPT-2's spelling of the 256 bytes. */
function bytesAlphabet(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let others = 0;
  return Array.from(
    { length: 256 },
    (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : 0x100 + others++),
  );
}

/**
 * SentencePiece's character map: a double-array trie over UTF-8 from what is replaced to where its replacement begins.
 * Read as spm_precompiled 0.1 reads it, which the Rust library uses.
 */
import type { Normalize } from "./normalize.ts";

/** Longer clusters are looked up character by character. */
const MAX_CLUSTER_BYTES = 5;
/** Below U+0300 nothing joins with its neighbours, but for CR LF. */
const SIMPLE = /^[\0-\u02ff]*$/;
const NOT_SIMPLE = /[\0-\u02ff]?[^\0-\u02ff]+/g;

/** @param bytes the size of the trie in bytes, the trie, the replacements, each ended by a zero byte. */
export function createPrecompiled(bytes: Uint8Array): Normalize {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const trieBytes = view.getUint32(0, true);
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const replacements = bytes.subarray(4 + trieBytes);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const segmenter = new Intl.Segmenter("und", { granularity: "grapheme" });
  const known = new Map<string, string | null>();

  const findReplacement = (text: string): string | null => {
    let replacement = known.get(text);
    if (replacement === undefined) {
      const start = shortestPrefix(units, encoder.encode(text));
      replacement = start === null
        ? null
        : decoder.decode(replacements.subarray(start, replacements.indexOf(0, start)));
      if (known.size < 100_000) known.set(text, replacement);
    }
    return replacement;
  };
  const byCharacter = (text: string): string => {
    let out = "";
    for (const character of text) out += findReplacement(character) ?? character;
    return out;
  };
  const replaceCluster = (cluster: string): string => {
    const isShort = cluster.length < MAX_CLUSTER_BYTES + 1 &&
      encoder.encode(cluster).length <= MAX_CLUSTER_BYTES;
    return (isShort ? findReplacement(cluster) : null) ?? byCharacter(cluster);
  };
  const replaceRun = (run: string): string => {
    if (SIMPLE.test(run)) {
      return run.split("\r\n").map(byCharacter).join(run.includes("\r\n") ? replaceCluster("\r\n") : "");
    }
    let out = "";
    for (const { segment } of segmenter.segment(run)) out += replaceCluster(segment);
    return out;
  };

  return (text, start) => {
    let out = "";
    let at = 0;
    for (const { 0: run, index } of text.matchAll(NOT_SIMPLE)) {
      // "\r\n" before a mark stays together.
      const from = run.startsWith("\n") && text[index - 1] === "\r" ? index - 1 : index;
      out += replaceRun(text.slice(at, from)) + replaceRun(text.slice(from, index + run.length));
      at = index + run.length;
    }
    out += replaceRun(text.slice(at));
    if (out !== text && start.length > 0) start.length = lengthOfFirst(text);
    return out;
  };

  /** What is dropped at the beginning leaves its place to what follows, as the Rust library counts. */
  function lengthOfFirst(text: string): number {
    for (const { segment } of segmenter.segment(text)) {
      const { length } = replaceCluster(segment);
      if (length > 0) return length;
    }
    return 0;
  }
}

/** The value of the shortest key that the bytes begin with; null if there is none. */
function shortestPrefix(units: Uint32Array, key: Uint8Array): number | null {
  const offset = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6);
  let position = offset(units[0] ?? 0);
  for (const byte of key) {
    if (byte === 0) return null;
    position ^= byte;
    const unit = units[position] ?? 0;
    if (((unit & 0x800000ff) >>> 0) !== byte) return null;
    position ^= offset(unit);
    if ((unit & 0x100) !== 0) return (units[position] ?? 0) & 0x7fffffff;
  }
  return null;
}

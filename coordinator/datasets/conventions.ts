/** The names by which `datasets` finds a repository's splits without a card (datasets/data_files.py). */
import type { SplitPatterns } from "./card.ts";
import { globFilter } from "./glob.ts";

const SPLIT_KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  train: ["train", "training"],
  validation: ["validation", "valid", "dev", "val"],
  test: ["test", "testing", "eval", "evaluation"],
};
const SEPARATORS = "[-._ 0-9]";
const SHARDED = /^(?:.*\/)?data\/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*$/;

const inFolders = (word: string) => [
  `**/${word}/**`,
  `**/${word}${SEPARATORS}*/**`,
  `**/*${SEPARATORS}${word}/**`,
  `**/*${SEPARATORS}${word}${SEPARATORS}*/**`,
];
const inNames = (word: string) => [`**/${word}${SEPARATORS}*`, `**/*${SEPARATORS}${word}${SEPARATORS}*`];

/** The first convention that matches any file: shards, folders, file names, everything. */
export function conventionalSplits(paths: readonly string[], folder: string): readonly SplitPatterns[] {
  const prefix = folder === "" ? "" : `${folder}/`;
  const below = paths.filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
  const named = (splits: readonly SplitPatterns[]) =>
    splits.map(({ split, patterns }) => ({ split, patterns: patterns.map((pattern) => prefix + pattern) }));
  const shards = shardedSplits(below);
  if (shards.length > 0) return named(shards);
  for (const patternsOf of [inFolders, inNames]) {
    const splits = Object.entries(SPLIT_KEYWORDS).map(([split, words]) => ({
      split,
      patterns: words.flatMap(patternsOf),
    })).filter(({ patterns }) => patterns.some((pattern) => below.some(globFilter(pattern))));
    if (splits.length > 0) return named(splits);
  }
  return below.some(globFilter("**")) ? named([{ split: "train", patterns: ["**"] }]) : [];
}

function shardedSplits(paths: readonly string[]): readonly SplitPatterns[] {
  const found = new Set(
    paths.filter((path) => path.startsWith("data/")).map((path) => SHARDED.exec(path)?.[1]),
  );
  const known = Object.keys(SPLIT_KEYWORDS).filter((split) => found.has(split));
  const others = [...found].filter((split) => split !== undefined && !known.includes(split)) as string[];
  const digits = "[0-9]".repeat(5);
  return [...known, ...others.sort()].map((split) => ({
    split,
    patterns: [`data/${split}-${digits}-of-${digits}*.*`],
  }));
}

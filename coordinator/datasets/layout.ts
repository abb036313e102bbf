/** Which files of a dataset's repository are which split of which configuration. */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { type CardConfig, listed, type SplitPatterns } from "./card.ts";
import { conventionalSplits } from "./conventions.ts";
import { globFilter, hasGlob } from "./glob.ts";

/** One configuration of a dataset: split → paths, in order. */
export interface DatasetConfig {
  readonly name: string;
  readonly splits: ReadonlyMap<string, readonly string[]>;
  /** Settings of the card that only `datasets` knows. */
  readonly otherSettings: readonly string[];
}

/** Endings that one reader reads; a split's files are all of one kind. */
const KINDS: readonly (readonly string[])[] = [
  ["jsonl", "ndjson", "json"],
  ["csv"],
  ["tsv"],
  ["parquet"],
  ["txt"],
];
/** What lies beside data. */
const NO_DATA = new Set([
  "README.md",
  "config.json",
  "dataset_info.json",
  "dataset_infos.json",
  "dataset_dict.json",
]);

export const DEFAULT_CONFIG = "default";

/**
 * The configuration `name`, or the default one if it is null. Null if its files are of no kind that can be read here, so that
 * only the hub's conversion helps. Throws `invalid_request` that lists the configurations there are.
 */
export function configOf(
  paths: readonly string[],
  card: readonly CardConfig[],
  name: string | null,
): DatasetConfig | null {
  const config = chosenConfig(card, name);
  const patterns = config.dataFiles ?? conventionalSplits(dataPaths(paths), config.folder);
  const splits = new Map<string, readonly string[]>();
  for (const entry of patterns) {
    const files = filesOf(paths, entry, config.dataFiles !== null);
    if (files.length > 0) splits.set(entry.split, files);
  }
  const readable = ofOneKind(splits);
  return readable === null
    ? null
    : { name: config.name, splits: readable, otherSettings: config.otherSettings };
}

function chosenConfig(card: readonly CardConfig[], name: string | null): CardConfig {
  const names = card.length === 0 ? [DEFAULT_CONFIG] : card.map((config) => config.name);
  if (name !== null && !names.includes(name)) {
    const message = `the dataset has no configuration ${quote(name)}; it has ${listed(names)}`;
    throw new LoraFleetError("invalid_request", message, { param: "dataset.name" });
  }
  if (card.length === 0) {
    return { name: DEFAULT_CONFIG, isDefault: true, dataFiles: null, folder: "", otherSettings: [] };
  }
  const chosen = name !== null
    ? card.find((config) => config.name === name)
    : card.length === 1
    ? card[0]
    : card.find((config) => config.isDefault || config.name === DEFAULT_CONFIG);
  if (chosen !== undefined) return chosen;
  const message = `the dataset has several configurations: set dataset.name to one of ${listed(names)}`;
  throw new LoraFleetError("invalid_request", message, { param: "dataset.name" });
}

const dataPaths = (paths: readonly string[]) => paths.filter((path) => !NO_DATA.has(path.split("/").at(-1)!));

/** Each file once. Throws `invalid_request` for a file that the card names and the repository lacks. */
function filesOf(
  paths: readonly string[],
  { patterns }: SplitPatterns,
  isFromCard: boolean,
): readonly string[] {
  const found = new Set<string>();
  for (const pattern of patterns) {
    const named = pattern.split("/").at(-1)!;
    const candidates = paths.filter((path) =>
      path.endsWith(`/${named}`) || path === named || !NO_DATA.has(path.split("/").at(-1)!)
    );
    const matches = candidates.filter(globFilter(pattern)).toSorted();
    if (matches.length === 0 && isFromCard && !hasGlob(pattern)) {
      const message = `the dataset's README.md names ${quote(pattern)}, which is not in the repository`;
      throw new LoraFleetError("invalid_request", message, { param: "dataset.path" });
    }
    for (const match of matches) found.add(match);
  }
  return [...found];
}

/** Of each split only the kind that most of its files have; null if no file can be read. */
function ofOneKind(
  splits: ReadonlyMap<string, readonly string[]>,
): ReadonlyMap<string, readonly string[]> | null {
  const readable = new Map<string, readonly string[]>();
  for (const [split, files] of splits) {
    const kinds = KINDS.map((kind) => files.filter((path) => isOf(path, kind)));
    const most = kinds.reduce((best, kind) => kind.length > best.length ? kind : best);
    if (most.length > 0) readable.set(split, most);
  }
  return readable.size === 0 ? null : readable;
}

function isOf(path: string, kind: readonly string[]): boolean {
  return kind.includes(/\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? "");
}

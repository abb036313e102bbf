/** What a dataset's card (README.md) says about its files: the `configs:` of its metadata. */
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { parse as parseYaml } from "@std/yaml";

/** Patterns of one split's files. */
export interface SplitPatterns {
  readonly split: string;
  readonly patterns: readonly string[];
}

export interface CardConfig {
  readonly name: string;
  readonly isDefault: boolean;
  /** Null: the conventional names, below `folder`. */
  readonly dataFiles: readonly SplitPatterns[] | null;
  readonly folder: string;
  /** Settings that only `datasets` knows, such as `sep`. */
  readonly otherSettings: readonly string[];
}

const DEFAULT_SPLIT = "train";
export const SPLIT_NAME = /^\w+(?:\.\w+)*$/;

const paths = z.union([z.string(), z.array(z.string())]);
const configSchema = z.object({
  config_name: z.coerce.string(),
  data_files: z.union([
    z.string(),
    z.array(
      z.union([z.string(), z.strictObject({ split: z.coerce.string().regex(SPLIT_NAME), path: paths })]),
    ),
  ]).optional(),
  data_dir: z.string().optional(),
  default: z.boolean().optional(),
}).loose();

/** What a configuration may have besides, without a meaning for rows of text. */
const WITHOUT_MEANING = new Set(["version", "description", "features", "drop_labels", "drop_metadata"]);

/** Empty without any. Throws `invalid_request` for `configs` that `datasets` would refuse. */
export function readCardConfigs(readme: string): readonly CardConfig[] {
  const [, header] = /^﻿?---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/.exec(readme) ?? [];
  if (header === undefined) return [];
  let card: unknown;
  try {
    card = parseYaml(header);
  } catch (thrown) {
    throw wrongCard(`its metadata is no YAML: ${messageOf(thrown)}`);
  }
  const configs = typeof card === "object" && card !== null && "configs" in card ? card.configs : null;
  if (configs === null || configs === undefined) return [];
  const parsed = z.array(configSchema).safeParse(configs);
  if (parsed.success) return parsed.data.map(configOf);
  const [issue] = parsed.error.issues;
  throw wrongCard(
    `configs.${issue!.path.join(".")} in its metadata is not as datasets wants it: ${issue!.message}`,
  );
}

function configOf(
  { config_name, data_files, data_dir, default: isDefault, ...rest }: z.output<typeof configSchema>,
) {
  const folder = (data_dir ?? "").replace(/^\.?\/+|\/+$/g, "");
  return {
    ...{ name: config_name, isDefault: isDefault === true, folder },
    dataFiles: data_files === undefined ? null : splitPatterns(data_files, folder),
    otherSettings: Object.keys(rest).filter((key) => !WITHOUT_MEANING.has(key)),
  };
}

type DataFiles = NonNullable<z.output<typeof configSchema>["data_files"]>;

/** Patterns without a split are the train split's. */
function splitPatterns(dataFiles: DataFiles, folder: string): readonly SplitPatterns[] {
  const below = (pattern: string) => {
    const plain = pattern.replace(/^\.?\/+/, "");
    return folder === "" ? plain : `${folder}/${plain}`;
  };
  const list = typeof dataFiles === "string" ? [dataFiles] : dataFiles;
  const found = new Map<string, string[]>();
  for (const entry of list) {
    const [split, path] = typeof entry === "string" ? [DEFAULT_SPLIT, entry] : [entry.split, entry.path];
    const patterns = found.get(split) ?? [];
    found.set(split, [...patterns, ...(typeof path === "string" ? [path] : path).map(below)]);
  }
  return [...found].map(([split, patterns]) => ({ split, patterns }));
}

function wrongCard(why: string): LoraFleetError {
  return new LoraFleetError("invalid_request", `the dataset's README.md: ${why}`, { param: "dataset.path" });
}

export function listed(names: readonly string[]): string {
  return names.length === 0 ? "none" : names.map((name) => quote(name)).join(", ");
}

/** The hub's conversion of a dataset: `<config>/<split>/0000.parquet` at the revision `refs/convert/parquet`. */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { listed } from "./card.ts";
import { type DatasetConfig, DEFAULT_CONFIG } from "./layout.ts";

/** A split of which the hub converted the beginning only lies in `partial-<split>`. */
const CONVERTED = /^([^/]+)\/(?:partial-)?([^/]+)\/\d+\.parquet$/;

export const CONVERSION = "refs/convert/parquet";

/** Whether a commit is one of the conversion's: jobs name it by that alone. */
export function isConversion(paths: readonly string[]): boolean {
  const data = paths.filter((path) => !path.startsWith(".") && path !== "README.md");
  return data.length > 0 && data.every((path) => CONVERTED.test(path));
}

/** Null if there are no files. Throws `invalid_request` that lists the configurations. */
export function convertedConfig(paths: readonly string[], name: string | null): DatasetConfig | null {
  const configs = new Map<string, Map<string, string[]>>();
  for (const path of paths.toSorted()) {
    const [, config, split] = CONVERTED.exec(path) ?? [];
    if (config === undefined || split === undefined) continue;
    const splits = configs.get(config) ?? new Map<string, string[]>();
    configs.set(config, splits.set(split, [...splits.get(split) ?? [], path]));
  }
  const names = [...configs.keys()];
  if (names.length === 0) return null;
  const chosen = name ?? (names.length === 1 ? names[0]! : DEFAULT_CONFIG);
  const splits = configs.get(chosen);
  if (splits !== undefined) return { name: chosen, splits, otherSettings: [] };
  const message = name === null
    ? `the dataset has several configurations: set dataset.name to one of ${listed(names)}`
    : `the dataset has no configuration ${quote(name)}; it has ${listed(names)}`;
  throw new LoraFleetError("invalid_request", message, { param: "dataset.name" });
}

/** The splits that `dataset.split` names, and the files that they need. */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { listed } from "./card.ts";
import type { DatasetConfig } from "./layout.ts";

/** `train[:10%]+test` names train and test. Throws `invalid_request`. */
export function splitNames(split: string): readonly string[] {
  return [
    ...new Set(
      split.split("+").map((part) => {
        const name = /^\s*(\w+(?:\.\w+)*)\s*(?=\[|\(|$)/.exec(part)?.[1];
        if (name !== undefined) return name;
        const message = `dataset.split is ${
          quote(split)
        }; "train", "train[:10%]" or "train[100:200]+test" are understood`;
        throw new LoraFleetError("invalid_request", message, { param: "dataset.split" });
      }),
    ),
  ];
}

/** Split and path of each file that the rows come from. Throws `invalid_request` that lists the splits there are. */
export function filesOfSplits(
  config: DatasetConfig,
  split: string,
  dataset: string,
): readonly { readonly split: string; readonly path: string }[] {
  return splitNames(split).flatMap((name) => {
    const paths = config.splits.get(name);
    if (paths !== undefined) return paths.map((path) => ({ split: name, path }));
    const message =
      `dataset ${quote(dataset)} has no split ${quote(name)} in its configuration ${quote(config.name)}; ` +
      `it has ${listed([...config.splits.keys()])}`;
    throw new LoraFleetError("invalid_request", message, { param: "dataset.split" });
  });
}

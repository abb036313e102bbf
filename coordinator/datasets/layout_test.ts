import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { readCardConfigs } from "./card.ts";
import { convertedConfig, isConversion } from "./conversion.ts";
import goldens from "./hub_layouts.json" with { type: "json" };
import { configOf } from "./layout.ts";
import { filesOfSplits, splitNames } from "./splits.ts";

Deno.test("splits and files are those that datasets finds, by card and by convention", () => {
  assertEquals(goldens.cases.length >= 17, true);
  for (const { files, card, results } of goldens.cases) {
    const configs = card === null ? [] : readCardConfigs(`---\n${card}---\n# A dataset\n`);
    for (const { name, splits } of results) {
      const config = configOf([...files, "README.md"], configs, name);
      // Splits and files alike in order.
      assertEquals([...config!.splits], Object.entries(splits), `${files} ${name}`);
    }
  }
});

const card = (yaml: string) => readCardConfigs(`---\nlicense: mit\n${yaml}\n---\n`);
const refused = (work: () => unknown, part: string, param: string) => {
  const error = assertThrows(work, LoraFleetError, part);
  assertEquals([error.code, error.param], ["invalid_request", param]);
};

Deno.test("an unknown configuration or split is refused with those that exist", () => {
  const configs = card(
    "configs:\n- config_name: en\n  data_files: en.csv\n- config_name: ko\n  data_files: ko.csv",
  );
  const paths = ["en.csv", "ko.csv"];
  refused(() => configOf(paths, configs, "fr"), 'no configuration "fr"; it has "en", "ko"', "dataset.name");
  refused(() => configOf(paths, configs, null), 'set dataset.name to one of "en", "ko"', "dataset.name");
  refused(() => configOf(["a.csv"], [], "x"), 'no configuration "x"; it has "default"', "dataset.name");
  const en = configOf(paths, configs, "en")!;
  assertEquals(filesOfSplits(en, "train[:10%]+train[50%:]", "org/rows"), [{
    split: "train",
    path: "en.csv",
  }]);
  refused(
    () => filesOfSplits(en, "train+dev[:5]", "org/rows"),
    'dataset "org/rows" has no split "dev" in its configuration "en"; it has "train"',
    "dataset.split",
  );
  assertEquals(splitNames(" train[10:] + test.v2(pct1_dropremainder)"), ["train", "test.v2"]);
  refused(() => splitNames("train;test"), 'dataset.split is "train;test"', "dataset.split");
});

Deno.test("a card that datasets would refuse, or that names a file that is gone, is refused", () => {
  refused(() => card("configs:\n- data_files: a.csv"), "configs.0.config_name", "dataset.path");
  refused(() => card("configs: {a: 1}"), "configs. in its metadata", "dataset.path");
  refused(
    () => card("configs:\n- config_name: a\n  data_files:\n  - split: a-b\n    path: x"),
    "configs.0",
    "dataset.path",
  );
  refused(() => card("a: [1"), "no YAML", "dataset.path");
  const configs = card("configs:\n- config_name: a\n  data_files: gone.csv");
  refused(() => configOf(["b.csv"], configs, null), 'names "gone.csv", which is not', "dataset.path");
  assertEquals(readCardConfigs("no metadata"), []);
  assertEquals(readCardConfigs("---\nlicense: mit\n---\n"), []);
});

Deno.test("files of no readable kind are left to the conversion, whose paths name configuration and split", () => {
  assertEquals(configOf(["train.arrow", "script.py"], [], null), null);
  const paths = ["default/train/0000.parquet", "default/train/0001.parquet", "ko/partial-test/0000.parquet"];
  assertEquals(isConversion([".gitattributes", ...paths]), true);
  assertEquals(isConversion(["data/train-00000-of-00001.parquet"]), false);
  assertEquals([...convertedConfig(paths, null)!.splits], [["train", paths.slice(0, 2)]]);
  assertEquals([...convertedConfig(paths, "ko")!.splits.keys()], ["test"]);
  refused(() => convertedConfig(paths, "x"), 'no configuration "x"; it has "default", "ko"', "dataset.name");
  assertEquals(convertedConfig([], null), null);
});

Deno.test("settings that only datasets knows are noted", () => {
  const [config] = card("configs:\n- config_name: a\n  data_files: a.csv\n  sep: ';'\n  version: 1.0.0");
  assertEquals(config!.otherSettings, ["sep"]);
});

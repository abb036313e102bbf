/** The edits that make a release, as texts: tests/documents/releases_test.ts holds that they agree. */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { releasesIn } from "./releases.ts";

/** By path from the root. */
export type Texts = ReadonlyMap<string, string>;

/** Where images have the version of the last release, besides what tests/clients/helm.sh renders. */
const IMAGES: readonly string[] = [
  "deploy/kubernetes/chart/values.yaml",
  "docs/kubernetes.md",
  "docs/tutorial.md",
];
const CHART = "deploy/kubernetes/chart/Chart.yaml";
const PAGE = "docs/releases.md";

export const EDITED: readonly string[] = ["deno.json", "CHANGELOG.md", PAGE, CHART, ...IMAGES];

/**
 * The texts of the release's commit.
 * @param version without `-dev` @param date "2027-01-31"
 * Throws `usage` if the present version is not that with `-dev`, or the changelog has nothing.
 */
export function released(texts: Texts, version: string, date: string): Texts {
  const present = versionOf(texts);
  if (present !== `${version}-dev`) {
    const message = `the version is ${quote(version)}, and deno.json has ${quote(present)}: ` +
      `${present.replace("-dev", "")} comes next; change deno.json and docs/releases.md for a different one`;
    throw new LoraFleetError("usage", message);
  }
  const [, unreleased = ""] = /\n## Unreleased\n([\s\S]*?)\n## /.exec(texts.get("CHANGELOG.md")!) ?? [];
  if (unreleased.trim() === "") {
    throw new LoraFleetError("usage", "CHANGELOG.md has nothing below Unreleased");
  }
  const edited = new Map(texts);
  const edit = (path: string, pattern: RegExp, by: string) =>
    edited.set(path, replaced(path, edited.get(path)!, pattern, by));
  edit("deno.json", /("version": )"[^"]+"/, `$1"${version}"`);
  edit("CHANGELOG.md", /\n## Unreleased\n/, `\n## Unreleased\n\n## ${version} (${date})\n`);
  edit(PAGE, /^\| \S+-dev +\| +\|/m, `| ${version} | ${date} |`);
  edit(CHART, /^version: .*\nappVersion: .*$/m, `version: ${version}\nappVersion: "${version}"`);
  for (const path of IMAGES) edit(path, /(lorafleet-(?:coordinator|worker)):\d[\w.-]*/g, `$1:${version}`);
  return edited;
}

/**
 * The texts of the commit after it.
 * @param commit the release's, 40 digits @param next the version to come, without `-dev`
 */
export function afterRelease(texts: Texts, commit: string, next: string): Texts {
  const present = versionOf(texts);
  if (present.endsWith("-dev")) throw new LoraFleetError("usage", `${present} is not released yet`);
  if (!/^[0-9a-f]{40}$/.test(commit)) {
    throw new LoraFleetError("usage", `the commit is ${quote(commit)}; 40 hexadecimal digits are needed`);
  }
  const edited = new Map(texts);
  const page = texts.get(PAGE)!;
  const row = new RegExp(`^\\| ${present.replaceAll(".", "\\.")} +\\| ([\\d-]+) +\\| +(\\|.*)$`, "m");
  const rows = `| ${next}-dev | | $2\n| ${present} | $1 | \`${commit}\` $2`;
  edited.set(PAGE, replaced(PAGE, page, row, rows));
  edited.set(
    "deno.json",
    replaced("deno.json", texts.get("deno.json")!, /("version": )"[^"]+"/, `$1"${next}-dev"`),
  );
  releasesIn(edited.get(PAGE)!);
  return edited;
}

export function versionOf(texts: Texts): string {
  return JSON.parse(texts.get("deno.json")!).version;
}

function replaced(path: string, text: string, pattern: RegExp, by: string): string {
  if (text.search(pattern) === -1) {
    throw new LoraFleetError("usage", `${path} has nothing that fits ${pattern}`);
  }
  return text.replace(pattern, by);
}

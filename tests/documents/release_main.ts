/**
 * Makes a release in two commits; edits files only, and says which commands of git come next.
 *
 *     deno task release 0.2.0           the version, the changelog's heading, the table, the images: the release's commit
 *     deno task release --next 0.3.0    its hash into the table, 0.3.0-dev: the commit after it
 *
 * Exit codes: 0 done, 2 usage.
 */
import { parseArgs } from "node:util";
import { join } from "@std/path";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { exitWithHelp } from "./head_help.ts";
import { root } from "./named_tests.ts";
import { afterRelease, EDITED, released, type Texts, versionOf } from "./release_edits.ts";

exitWithHelp(import.meta.url);

const VERSION = /^\d+\.\d+\.\d+$/;

async function headCommit(): Promise<string> {
  const { stdout } = await new Deno.Command("git", { args: ["-C", root, "rev-parse", "HEAD"] }).output();
  return new TextDecoder().decode(stdout).trim();
}

async function main(args: readonly string[]): Promise<string> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { next: { type: "string" } },
    allowPositionals: true,
  });
  const version = values.next ?? positionals[0] ?? "";
  if (!VERSION.test(version) || positionals.length > (values.next === undefined ? 1 : 0)) {
    throw new LoraFleetError(
      "usage",
      "one version is needed, such as 0.2.0: deno task release [--next] 0.2.0",
    );
  }
  const texts: Texts = new Map(
    await Promise.all(EDITED.map(async (path) => [path, await Deno.readTextFile(join(root, path))] as const)),
  );
  const isAfter = values.next !== undefined;
  const today = new Date(systemClock.now()).toISOString().slice(0, 10);
  const edited = isAfter ? afterRelease(texts, await headCommit(), version) : released(texts, version, today);
  for (const [path, text] of edited) {
    if (text !== texts.get(path)) await Deno.writeTextFile(join(root, path), text);
  }
  const check = "deno fmt, deno task ok";
  return isAfter
    ? `docs/releases.md has the commit of ${versionOf(texts)}; ${check}, git commit, git push --follow-tags`
    : `tests/clients/helm.sh renders the chart; ${check}, git commit -am "Release ${version}", ` +
      `git tag -a v${version} -m "lorafleet ${version}", deno task release --next <version>`;
}

try {
  console.log(await main(Deno.args));
} catch (thrown) {
  console.error(`release: ${messageOf(thrown)}`);
  Deno.exit(2);
}

/** docs/releases.md, CHANGELOG.md, deno.json and the constants in the code say the same of this release and the earlier ones. */
import { assert, assertEquals, assertLess, assertMatch, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { ACCESS_MIGRATIONS } from "../../coordinator/access/access_store.ts";
import { SCHEMA_VERSION } from "../../coordinator/jobs/stores/job_database.ts";
import { newestLayout } from "../../coordinator/upkeep/layout.ts";
import { compareVersions } from "../../deploy/doctor/machine_checks.ts";
import { OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION } from "../../shared/protocol/messages_worker.ts";
import { servedVersions, VERSION } from "../../shared/protocol/release.ts";
import { root } from "./named_tests.ts";
import { lastReleased, readReleases, releasesIn } from "./releases.ts";

const releases = await readReleases();
const [present, ...earlier] = releases;
const changelog = await Deno.readTextFile(join(root, "CHANGELOG.md"));

Deno.test("the first line of docs/releases.md is this release: deno.json's version, and the constants in the code", () => {
  const { version, protocol, layout, ...rest } = present;
  const served = rest["serves workers of"];
  assertEquals([version, protocol, served], [VERSION, PROTOCOL_VERSION, servedVersions()]);
  assertEquals([layout, rest["coordinator.sqlite"], rest["access.sqlite"]], [
    newestLayout(),
    SCHEMA_VERSION,
    ACCESS_MIGRATIONS.length,
  ]);
});

Deno.test("every release of docs/releases.md has a heading with its date in CHANGELOG.md, in the same order", () => {
  const headings = [...changelog.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading!);
  const released = releases.filter(({ date }) => date !== "").map(({ version, date }) =>
    `${version} (${date})`
  );
  assertEquals(headings, ["Unreleased", ...released]);
  assertEquals(released.length > 0, true);
});

Deno.test("only the first line may be without a commit, versions fall, and nothing goes back to an older layout", () => {
  for (const { version, commit, date } of earlier) assert(commit !== "" && date !== "", version);
  assertEquals(present.date === "", present.version.endsWith("-dev"), "a release has a date");
  releases.slice(1).forEach((older, i) => {
    const newer = releases[i]!;
    assertLess(compareVersions(older.version, newer.version), 0, newer.version);
    for (const what of ["protocol", "layout", "coordinator.sqlite", "access.sqlite"] as const) {
      assert(older[what] <= newer[what], `${what} of ${newer.version}`);
    }
  });
});

Deno.test("the last release's workers are served, unless CHANGELOG.md says that they are not", () => {
  const before = lastReleased(earlier);
  const [since = ""] = changelog.split(`\n## ${before.version} (`);
  const isSaid = since.includes(`workers of ${before.version} are not served`);
  assertEquals(OLDEST_PROTOCOL_VERSION > before.protocol, isSaid);
});

Deno.test("the images of the chart and of the documents are the last release's", async () => {
  const { version } = releases.find(({ date }) => date !== "")!;
  const chart = await Deno.readTextFile(join(root, "deploy/kubernetes/chart/Chart.yaml"));
  assertMatch(chart, new RegExp(`^version: ${version}\nappVersion: "${version}"$`, "m"));
  const files = ["deploy/kubernetes/chart/values.yaml", "deploy/kubernetes/lorafleet.yaml"];
  for (const file of [...files, "docs/kubernetes.md", "docs/tutorial.md"]) {
    const text = await Deno.readTextFile(join(root, file));
    const tags = [...text.matchAll(/lorafleet-(?:coordinator|worker):(\d+\.[\w.-]+)/g)].map(([, tag]) => tag);
    assert(tags.length > 0 && tags.every((tag) => tag === version), `${file}: ${tags}`);
  }
});

Deno.test("a table with a cell that is no version, number or commit is refused", () => {
  const page = (commit: string, protocol = "7") =>
    `\n## Releases\n\n| version | date | commit | protocol | serves workers of | layout | coordinator.sqlite | access.sqlite |\n` +
    `| - | - | - | - | - | - | - | - |\n| 0.3.0 | 2027-01-01 | ${commit} | ${protocol} | 7 to 8 | 1 | 2 | 2 |\n`;
  assertEquals(releasesIn(page(`\`${"0a".repeat(20)}\``))[0].commit, "0a".repeat(20));
  assertThrows(() => releasesIn(page("8f1f337b")));
  assertThrows(() => releasesIn(page("", "seven")));
  assertThrows(() => releasesIn("\n## Releases\n"), Error, "has no table");
});

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { LoraFleetError } from "../../shared/errors.ts";
import { root } from "./named_tests.ts";
import { afterRelease, EDITED, released, type Texts, versionOf } from "./release_edits.ts";
import { releasesIn } from "./releases.ts";

const present = new Map(
  await Promise.all(EDITED.map(async (path) => [path, await Deno.readTextFile(join(root, path))] as const)),
);
/** This repository between two releases, whatever it is now. */
const between: Texts = present.get("deno.json")!.includes("-dev")
  ? present
  : afterRelease(present, "0a".repeat(20), "98.0.0");
const next = versionOf(between).replace("-dev", "");
const COMMIT = "1b".repeat(20);

Deno.test("a release and the commit after it: one row more, a heading with the date, every image, no other change", () => {
  const written = new Map(between).set(
    "CHANGELOG.md",
    between.get("CHANGELOG.md")!.replace("## Unreleased\n", "## Unreleased\n\n- Something.\n"),
  );
  const release = released(written, next, "2027-01-31");
  assertEquals(versionOf(release), next);
  assertMatch(
    release.get("CHANGELOG.md")!,
    new RegExp(`## Unreleased\n\n## ${next} \\(2027-01-31\\)\n\n- Some`),
  );
  const images = [...release.values()].join("\n").match(/lorafleet-(coordinator|worker):\d[\w.-]*/g)!;
  assert(images.length > 4 && images.every((image) => image.endsWith(`:${next}`)), images.join());
  const rows = releasesIn(between.get("docs/releases.md")!);
  const [first, ...others] = releasesIn(release.get("docs/releases.md")!);
  assertEquals([first, others], [{ ...rows[0], version: next, date: "2027-01-31" }, rows.slice(1)]);

  const after = afterRelease(release, COMMIT, "99.0.0");
  assertEquals(versionOf(after), "99.0.0-dev");
  const [newest, made, ...rest] = releasesIn(after.get("docs/releases.md")!);
  assertEquals([newest, made], [{ ...rows[0], version: "99.0.0-dev" }, { ...first, commit: COMMIT }]);
  assertEquals(rest, rows.slice(1));
});

Deno.test("a version that does not come next, an empty changelog, a commit that is none, and a second time are refused", () => {
  const empty = new Map(between).set(
    "CHANGELOG.md",
    between.get("CHANGELOG.md")!.replace(/## Unreleased\n[\s\S]*?\n## /, "## Unreleased\n\n## "),
  );
  const refused = (work: () => unknown, message: string) =>
    assertEquals(assertThrows(work, LoraFleetError, message).code, "usage");
  refused(() => released(between, "9.9.9", "2027-01-31"), `${next} comes next`);
  refused(() => released(empty, next, "2027-01-31"), "nothing below Unreleased");
  refused(() => afterRelease(between, COMMIT, "99.0.0"), "is not released yet");
});

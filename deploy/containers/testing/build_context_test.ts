import { assertEquals } from "@std/assert";
import { dirname, fromFileUrl } from "@std/path";
import { contextFiles, parseIgnore } from "./build_context.ts";

const folder = dirname(fromFileUrl(import.meta.url));

Deno.test("the last pattern that matches a path or a folder above it decides", () => {
  const isIgnored = parseIgnore(
    "# all\n*\n!deno.json\n!shared\n**/*_test.ts\ndeploy/demo/assets\n!deploy\ndeploy/x?.md\n",
  );
  const seen = [
    "README.md",
    "deno.json",
    "deno.jsonc",
    "shared",
    "shared/a/b.ts",
    "shared/a/b_test.ts",
    "a_test.ts",
  ]
    .filter((path) => !isIgnored(path));
  assertEquals(seen, ["deno.json", "shared", "shared/a/b.ts"]);
  assertEquals(["deploy/demo/assets/base", "deploy/xy.md", "deploy/xyz.md"].map(isIgnored), [
    false,
    true,
    false,
  ]);
  assertEquals(parseIgnore("deploy/demo/assets")("deploy/demo/assets/base"), true);
});

Deno.test("the files of a folder, without those that are ignored", () => {
  const files = [...contextFiles(dirname(folder), "testing", parseIgnore("**/*_test.ts\n**/*.json"))]
    .toSorted();
  assertEquals(files.includes("testing/build_context.ts"), true);
  assertEquals(files.filter((path) => /_test\.ts$|json$/.test(path)), []);
});

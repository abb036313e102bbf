import { assert, assertEquals, assertMatch } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { inheritedBy, parseInstructions, parseStages } from "./testing/containerfile.ts";

const folder = dirname(fromFileUrl(import.meta.url));
const root = dirname(dirname(folder));
const text = await Deno.readTextFile(join(folder, "Containerfile"));
const stages = parseStages(text);
const IMAGES = ["coordinator", "worker", "pod"];

const exists = (path: string) => Deno.stat(path).then(() => true, () => false);

Deno.test("bases are arguments with a version; stages have names", () => {
  const argumentsOf = parseInstructions(text).filter(({ name }) => name === "ARG").map(({ text }) => text);
  for (const argument of argumentsOf) assertMatch(argument, /^\w+=docker\.io\/[\w./-]+:(?!latest)\S+$/);
  const names = stages.map(({ name }) => name);
  assertEquals(names.filter((name) => name === ""), []);
  for (const { from } of stages) {
    const isArgument = argumentsOf.some((argument) => from === `\${${argument.split("=")[0]}}`);
    assert(isArgument || names.includes(from), from);
  }
});

Deno.test("no image runs as root; each has a health check and an entry point that takes signals", () => {
  for (const image of IMAGES) {
    const last = (name: string) => inheritedBy(stages, image).findLast((found) => found.name === name)?.text;
    assertEquals(last("USER"), "10001:10001", image);
    assertMatch(last("HEALTHCHECK")!, /CMD \["deno", .*"deploy\/containers\/healthy\.ts"/, image);
    const entry: string[] = JSON.parse(last("ENTRYPOINT")!);
    assertEquals(entry.slice(0, 4), ["tini", "--", "deno", "run"], image);
  }
});

Deno.test("packages are installed without recommendations and leave no lists behind", () => {
  const runs = parseInstructions(text).filter(({ text }) => text.includes("apt-get install"));
  assertEquals(runs.length, 2);
  for (const { text, line } of runs) {
    assert(text.includes("install -y --no-install-recommends"), `line ${line}`);
    assert(text.includes("rm -rf /var/lib/apt/lists/*"), `line ${line}`);
    assert(text.includes("apt-get update"), `line ${line}`);
  }
  assertEquals(parseInstructions(text).filter(({ name }) => name === "ADD" || name === "MAINTAINER"), []);
  assert(!/\bsudo\b/.test(text));
});

Deno.test("what is copied, run and baked in is there, and not left out of the build", async () => {
  const ignored = await Deno.readTextFile(join(root, ".dockerignore"));
  const copied = stages.flatMap(({ instructions }) => instructions)
    .filter(({ name, text }) => name === "COPY" && !text.includes("--from="))
    .flatMap(({ text }) => text.split(" ").filter((word) => !word.startsWith("--")).slice(0, -1));
  assert(copied.length >= 6);
  for (const path of copied) {
    assert(await exists(join(root, path)), path);
    assert(ignored.includes(`!${path.split("/")[0]}`), `.dockerignore leaves ${path} out`);
  }
  const scripts = [...text.matchAll(/\b[\w/]+\.ts\b/g)].map(([path]) => path);
  assert(scripts.length >= 8);
  for (const path of scripts) assert(await exists(join(root, path)), path);
});

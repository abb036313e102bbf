/** docs/configuration.md, the programs' help, deno.json and the sources say the same. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import {
  configurationDocument,
  denoConfig,
  isPermitted,
  namesRead,
  optionOf,
  PROGRAMS,
  variablesRead,
} from "./configuration_document.ts";
import { knownVariables } from "../../deploy/doctor/variables.ts";
import { SENTENCES } from "./configuration_programs.ts";
import { root } from "./named_tests.ts";
import { walkFiles } from "./walk_files.ts";

/** Tasks for people who change lorafleet; their help is the comment at the head of their file. */
const DEVELOPERS =
  /^(ok|test|test:.*|bench|bench:.*|sim|soak:.*|ratchet|release|fields|metrics|limits|configuration|lens)$/;

const read = await variablesRead();
const textOf = (path: string) => Deno.readTextFile(join(root, path));

Deno.test("docs/configuration.md is what the code makes of it; `deno task configuration` writes it", async () => {
  const path = join(root, "docs/configuration.md");
  const made = await configurationDocument();
  if (Deno.args.includes("--write")) await Deno.writeTextFile(path, made);
  assertEquals(await Deno.readTextFile(path), made);
});

Deno.test("every task of users and operators is in docs/configuration.md", async () => {
  const tasks = Object.keys((await denoConfig()).tasks).filter((task) => !DEVELOPERS.test(task));
  assertEquals(tasks.toSorted(), PROGRAMS.map(({ task }) => task).toSorted());
});

Deno.test("every option that a program declares is in its help, and the other way round", async () => {
  for (const { task, usage, sources } of PROGRAMS) {
    const source = (await Promise.all(sources.map(textOf))).join("\n");
    const declared = [...source.matchAll(/[\s{]"?([a-z][a-z-]+)"?: (?:\{ type: "|text\b|flag\b)/g)]
      .map(([, name]) => name!);
    const shown = [...usage.matchAll(/(?<![\w-])--([a-z][a-z-]+)/g)].map(([, name]) => name!);
    assert(shown.length > 1, task);
    for (const name of shown) {
      assert(new RegExp(`["\\s]${name}["?]?[:,\\]]`).test(source), `${task}: --${name}`);
    }
    // train and plan share a file.
    const help = PROGRAMS.filter((other) => other.sources[0] === sources[0]).map((other) => other.usage)
      .join();
    assertEquals(declared.filter((name) => !help.includes(`--${name}`)), [], `${task}: not in its help`);
  }
});

Deno.test("every variable that a program reads has an option or a sentence, and no sentence is left over", () => {
  const texts = PROGRAMS.map(({ usage }) => usage);
  const without = [...read.keys()].filter((name) =>
    !(name in SENTENCES) && !texts.some((usage) => optionOf(usage, name) !== null)
  );
  assertEquals(without, [], `read by ${without.map((name) => read.get(name))}`);
  assertEquals(Object.keys(SENTENCES).filter((name) => !read.has(name)), []);
});

Deno.test("deno task doctor knows every LORAFLEET_… variable that is read, and no other", async () => {
  const ours = [...read.keys()].filter((name) => name.startsWith("LORAFLEET_"));
  assertEquals(await knownVariables(textOf), ours);
});

Deno.test("coordinator and worker may read the variables that they read", async () => {
  const { permissions } = await denoConfig();
  // Programs of their own in those folders, with all permissions.
  const others = /^(coordinator\/upkeep\/backup|shared\/gpu_hardware)/;
  for (const program of ["coordinator", "worker"]) {
    const names = [...read].filter(([, files]) =>
      files.some((file) => file.startsWith(`${program}/`) && !others.test(file))
    );
    assert(names.length > 10, program);
    const patterns = permissions[program]!["env"];
    assertEquals(names.map(([name]) => name).filter((name) => !isPermitted(patterns, name)), [], program);
  }
});

Deno.test("documents and files to deploy name no LORAFLEET_… variable that nothing reads", async () => {
  const known = new Set([...read.keys(), "LORAFLEET_TEST_NATS_SERVER"]);
  for (const folder of ["docs", "deploy"]) {
    for await (const file of walkFiles(folder, /\.(md|ya?ml|sh|ps1|ts|conf|env|txt|tpl)$|Containerfile$/)) {
      if (/^docs\/(benchmarks\/|configuration)|_test\.ts$/.test(file)) continue;
      const text = await textOf(file);
      const names = text.match(/\bLORAFLEET_[A-Z_]*[A-Z]\b(?!_)/g) ?? [];
      // Compose's own: expanded in the file itself.
      const expanded = new Set([...text.matchAll(/\$\{(\w+)/g)].map(([, name]) => name));
      assertEquals(names.filter((name) => !known.has(name) && !expanded.has(name)), [], file);
    }
  }
});

Deno.test("how variables and their options are found", () => {
  const source =
    'a = env("LORAFLEET_X") ?? Deno.env.get(w ? "HOMEPATH" : "HOME"); b = isOn("Y_Z"); c = "NOT_READ"';
  assertEquals(namesRead(source), ["LORAFLEET_X", "HOMEPATH", "HOME", "Y_Z"]);
  const usage =
    "Usage: x\n\n  --a <n>   one\n            more   LORAFLEET_AB\n  --b       two   LORAFLEET_A\n  LORAFLEET_C  three\n";
  assertEquals(["LORAFLEET_A", "LORAFLEET_AB", "LORAFLEET_C", "D"].map((name) => optionOf(usage, name)), [
    "--b",
    "--a",
    null,
    null,
  ]);
  assertEquals([
    isPermitted(["A_*", "B"], "A_X"),
    isPermitted(["A_*", "B"], "BC"),
    isPermitted(undefined, "B"),
  ], [true, false, false]);
});

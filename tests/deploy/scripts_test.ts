/** Every script that people run from deploy/, or that is made there, is one in its language. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { parseInstructions } from "../../deploy/containers/testing/containerfile.ts";
import { type Place, planService } from "../../deploy/service/plan.ts";
import { root } from "../documents/named_tests.ts";
import { deployedFiles } from "./deployed_files.ts";
import { type Grammar, nodesOf, syntaxErrors } from "./grammars.ts";

const GRAMMARS: Readonly<Record<string, Grammar>> = { sh: "bash", ps1: "powershell", py: "python" };

const textOf = (path: string) => Deno.readTextFile(join(root, path));

Deno.test("each script is one in its language, and one whose end is missing is none", async (t) => {
  const scripts = (await deployedFiles()).filter((path) => path.split(".").at(-1)! in GRAMMARS);
  assert(scripts.includes("deploy/service/install.ps1") && scripts.includes("deploy/service/install.sh"));
  for (const path of scripts) {
    await t.step(path, async () => {
      const grammar = GRAMMARS[path.split(".").at(-1)!]!;
      const text = await textOf(path);
      assertEquals(await syntaxErrors(grammar, text), []);
      const opened = `${text}\n${
        grammar === "powershell" ? "if ($x) {" : grammar === "bash" ? "if true; then" : "f("
      }`;
      assert(
        (await syntaxErrors(grammar, opened)).length > 0,
        "the grammar takes it without its end",
      );
    });
  }
});

Deno.test("install.ps1 calls what it means to, with the arguments handed on", async () => {
  const nodes = await nodesOf("powershell", await textOf("deploy/service/install.ps1"));
  const commands = nodes.filter(({ type }) => type === "command").map(({ text }) => text.trim());
  assert(commands.includes("& $deno run -A deploy/service/main.ts install @args"), commands.join("\n"));
  assertEquals(commands.filter((text) => text.startsWith("Invoke-RestMethod")), [
    "Invoke-RestMethod https://deno.land/install.ps1",
  ]);
});

Deno.test("Windows' task is a script in which every value is one verbatim string", async () => {
  const place: Place = {
    ...{
      os: "windows",
      home: "C:\\Users\\me",
      uid: 0,
      deno: "C:\\Program Files\\deno.exe",
      root: "D:\\it's here",
    },
  };
  const value = `a"b'c$d\`e;f{g}@(h) #i`;
  const { files: [script] } = planService("worker", place, { LORAFLEET_NAME: value });
  assertEquals(await syntaxErrors("powershell", script!.text), []);
  const strings = (await nodesOf("powershell", script!.text))
    .filter(({ type }) => type === "verbatim_string_characters")
    .map(({ text }) => text.slice(1, -1).replaceAll("''", "'"));
  for (const expected of [value, place.root, place.deno]) {
    assert(strings.includes(expected), strings.join("\n"));
  }
  const unquoted = script!.text.replace(`''c`, `'c`);
  assert((await syntaxErrors("powershell", unquoted)).length > 0, "a quote that is not doubled goes unseen");
});

Deno.test("what the images run while they are built is a shell's line", async () => {
  const runs = parseInstructions(await textOf("deploy/containers/Containerfile")).filter(({ name }) =>
    name === "RUN"
  );
  assert(runs.length >= 3);
  for (const { text, line } of runs) assertEquals(await syntaxErrors("bash", text), [], `line ${line}`);
  assert((await syntaxErrors("bash", `${runs[0]!.text} && (`)).length > 0);
});

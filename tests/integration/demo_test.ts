/**
 * The demo's way out when something is wrong: real coordinator, real workers, and nothing left of them. That it
 * succeeds is shown by `deno task demo` itself, which takes minutes.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { inTempFolder, processesOf, startCommand, until } from "./command_child.ts";

Deno.test({
  name: "Ctrl-C ends the demo with 130 and leaves no child and no result [ignored off Linux: no /proc]",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inTempFolder(async (folder) => {
      const out = join(folder, "out");
      const demo = startCommand("deploy/demo/main.ts", folder, "--workers", "1", "--out", out);
      await until(demo, "workers have joined");
      assertMatch(demo.text(), /workers have joined/);
      assertEquals(processesOf(folder).some((line) => line.includes("worker/main.ts")), true);
      demo.process.kill("SIGINT");
      assertEquals((await demo.process.status).code, 130);
      await demo.drained;
      assertEquals(processesOf(folder), []);
      assertEquals([...Deno.readDirSync(folder)].map((entry) => entry.name), []);
    }),
});

Deno.test({
  name:
    "a broken dataset ends the demo with the number of its line, and no result [ignored off Linux: no /proc]",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inTempFolder(async (folder) => {
      const [dataset, out] = [join(folder, "rows.jsonl"), join(folder, "out")];
      await Deno.writeTextFile(
        dataset,
        '{"prompt":"a","completion":"b"}\n{"prompt":\n{"prompt":"a","completion":"b"}\n',
      );
      const demo = startCommand(
        "deploy/demo/main.ts",
        folder,
        ...["--workers", "1", "--out", out, "--dataset", dataset, "--eval-dataset", dataset],
      );
      assertEquals((await demo.process.status).code, 1);
      await demo.drained;
      assertMatch(demo.text(), /^demo: .*line 2/m);
      assertMatch(demo.text(), /^logs: /m);
      assertEquals(processesOf(folder), []);
      assertEquals([...Deno.readDirSync(folder)].some((entry) => entry.name === "out"), false);
    }),
});

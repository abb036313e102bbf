/**
 * The demo's way out when something is wrong: real coordinator, real workers, and nothing left of them. That it
 * succeeds is shown by `deno task demo` itself, which takes minutes.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { systemClock } from "../../shared/clock.ts";

const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

interface Demo {
  readonly process: Deno.ChildProcess;
  /** Whether it has ended. */
  isOver(): boolean;
  /** Everything on stderr so far. */
  text(): string;
  readonly drained: Promise<void>;
}

/** Starts the demo with a temporary folder of its own, by whose name its children can be told from all others. */
function startDemo(tempFolder: string, ...args: string[]): Demo {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", join(root, "deploy/demo/main.ts"), ...args],
    env: { TMPDIR: tempFolder, NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let text = "";
  const drained = (async () => {
    for await (const chunk of process.stderr.pipeThrough(new TextDecoderStream())) text += chunk;
  })();
  let isOver = false;
  void process.status.then(() => isOver = true);
  return { process, isOver: () => isOver, text: () => text, drained };
}

/** The command lines of living processes whose environment names the folder. */
function processesOf(tempFolder: string): string[] {
  const found: string[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (!Deno.readTextFileSync(`/proc/${name}/environ`).includes(`TMPDIR=${tempFolder}\0`)) continue;
      found.push(Deno.readTextFileSync(`/proc/${name}/cmdline`).replaceAll("\0", " ").trim());
    } catch {
      // It has ended while we looked, or is not ours.
    }
  }
  return found.filter((line) => line !== "");
}

async function inTempFolder(test: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-demo-test-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: "Ctrl-C ends the demo with 130 and leaves no child and no result [ignored off Linux: no /proc]",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inTempFolder(async (folder) => {
      const out = join(folder, "out");
      const demo = startDemo(folder, "--workers", "1", "--out", out);
      const deadline = systemClock.now() + 120_000;
      while (
        !demo.text().includes("workers have joined") && !demo.isOver() && systemClock.now() < deadline
      ) {
        await systemClock.sleep(50);
      }
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
      await Deno.writeTextFile(dataset, '{"prompt":"a","completion":"b"}\n{"prompt":\n');
      const demo = startDemo(
        folder,
        "--workers",
        "1",
        "--out",
        out,
        "--dataset",
        dataset,
        "--eval-dataset",
        dataset,
      );
      assertEquals((await demo.process.status).code, 1);
      await demo.drained;
      assertMatch(demo.text(), /^demo: .*line 2/m);
      assertMatch(demo.text(), /^logs: /m);
      assertEquals(processesOf(folder), []);
      assertEquals([...Deno.readDirSync(folder)].some((entry) => entry.name === "out"), false);
    }),
});

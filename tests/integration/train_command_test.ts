/** `deno task train` with a real coordinator, a real worker and the demo's base model: interrupted, resumed, compared, exported. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { startHub } from "../hub/hub.ts";
import { inTempFolder, processesOf, root, startCommand, startCommandIn, until } from "./command_child.ts";

const assets = join(root, "deploy/demo/assets");
const TRAIN = "deploy/train/main.ts";

async function withRun(
  body: (
    run: (...more: string[]) => ReturnType<typeof startCommandIn>,
    folder: string,
    out: string,
    hub: Awaited<ReturnType<typeof startHub>>,
  ) => Promise<void>,
): Promise<void> {
  // A hub that knows no such token.
  await using hub = await startHub();
  const env = { HF_ENDPOINT: hub.endpoint, HF_TOKEN: "hf_wrong" };
  await inTempFolder(async (folder) => {
    const out = join(folder, "out");
    const validation = join(folder, "validation.jsonl");
    const rows = (await Deno.readTextFile(join(assets, "held_out.jsonl"))).split("\n").slice(0, 6);
    await Deno.writeTextFile(validation, rows.join("\n"));
    const config = join(folder, "job.yaml");
    await Deno.writeTextFile(
      config,
      "lora: {r: 4}\ntraining: {learning_rate: 1e-2}\ndataset: {max_seq_length: 256}\n",
    );
    const args = [
      "--model",
      join(assets, "base"),
      "--data",
      join(assets, "train.jsonl"),
      "--validation",
      validation,
    ];
    const run = (...more: string[]) =>
      startCommandIn(
        env,
        TRAIN,
        folder,
        ...args,
        "--config",
        config,
        "--steps",
        "10",
        "--out",
        out,
        "--ignore-gpu",
        "--report-to",
        "jsonl",
        ...more,
      );
    await body(run, folder, out, hub);
  });
}

Deno.test({
  name:
    "train: Ctrl-C and the same command again give adapter, comparison and export [ignored off Linux: no /proc]",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withRun(async (run, folder, out, hub) => {
      const first = run();
      await until(first, "The checkpoint of step 2 is stored");
      assertStringIncludes(first.text(), "The checkpoint of step 2 is stored");
      // Between two checkpoints: the state of step 3 is lost with its worker.
      await until(first, "step 3/10");
      first.process.kill("SIGINT");
      assertEquals((await first.process.status).code, 130);
      await first.drained;
      assertStringIncludes(first.text(), "the same command resumes");
      assertEquals(processesOf(folder), []);

      const other = run("--set", "lora.r=2");
      assertEquals((await other.process.status).code, 1);
      await other.drained;
      assertMatch(other.text(), /is a different run that was interrupted \(ftjob-\w+\)/);

      // llama.cpp has no rule for the words of the demo's tokenizer.
      const impossible = run("--export", "gguf,merged");
      assertEquals((await impossible.process.status).code, 2);
      await impossible.drained;
      assertMatch(impossible.text(), /train: --export gguf: GGUF is not possible/);
      assertEquals(/resuming|starting/.test(impossible.text()), false);

      const unauthorized = run("--push", "org/tuned");
      assertEquals((await unauthorized.process.status).code, 2);
      await unauthorized.drained;
      assertMatch(unauthorized.text(), /train: --push: HF_TOKEN is no token of /);
      assertEquals(/resuming|starting/.test(unauthorized.text()), false);

      // A hub that does not answer before the training refuses only the push.
      hub.faults.add({ on: /whoami/, kind: "status", status: 503 });
      const second = run("--export", "merged", "--push", "org/tuned");
      assertEquals((await second.process.status).code, 1);
      await second.drained;
      assertMatch(second.text(), /resuming ftjob-/);
      // The workers of before are known to be gone: none is waited for.
      assertEquals(/no worker has come back/.test(second.text()), false, second.text());
      assertMatch(second.text(), /exact match on 6 rows: base [\d.]+ %, tuned [\d.]+ %/);
      assertEquals((await Deno.stat(join(out, "merged/model.safetensors"))).isFile, true);
      assertMatch(second.text(), /train: the push to org\/tuned failed: /);

      const third = run("--export", "merged");
      const { code } = await third.process.status;
      await third.drained;
      assertEquals(code, 0, third.text());
      assertMatch(third.text(), /exact match on 6 rows/);
      assertEquals(/The checkpoint of step/.test(third.text()), false);
      assertEquals(processesOf(folder), []);
      const files = [...Deno.readDirSync(out)].map(({ name }) => name).sort();
      assertEquals(files, ["adapter_config.json", "adapter_model.safetensors", "merged", "runs"]);
      const [runName = ""] = [...Deno.readDirSync(join(out, "runs"))].map(({ name }) => name);
      const lines = (await Deno.readTextFile(join(out, "runs", runName, "metrics.jsonl"))).trim().split("\n");
      const points = lines.map((line) => JSON.parse(line)).filter(({ loss }) => typeof loss === "number");
      assertEquals(points.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      assertEquals((await Deno.stat(join(out, "merged/model.safetensors"))).isFile, true);
      assertEquals(await Deno.stat(`${out}.run`).catch(() => null), null);
    }),
});

Deno.test("train: what is missing or unreadable is named before anything starts", async () => {
  for (
    const [args, message] of [
      [["--model", "m", "--out", "o"], "--data is missing"],
      [["--model", "m", "--data", "no/such/file.jsonl", "--out", "o"], "neither a file nor a dataset's id"],
      [["--model", "m", "--data", "a/b", "--validation", "none", "--out", "o"], "--validation"],
      [["--model", "m", "--data", "a/b", "--out", "o", "--export", "mergd"], "there are merged, gguf"],
      [["--model", "m", "--data", "a/b", "--config", "none.yaml", "--out", "o"], "--config"],
    ] as const
  ) {
    await inTempFolder(async (folder) => {
      const command = startCommand(TRAIN, folder, ...args);
      assertEquals((await command.process.status).code, 2);
      await command.drained;
      assertStringIncludes(command.text(), message);
    });
  }
});

Deno.test("plan: the terminal shows rows, masks, memory, time and cost", () =>
  inTempFolder(async (folder) => {
    const process = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", join(root, "deploy/train/plan_main.ts"), "--model", join(assets, "base")],
        ...["--data", join(assets, "train.jsonl"), "--tokens-per-second", "3000", "--price", "3600"],
      ],
      env: { TMPDIR: folder, NO_COLOR: "1" },
    });
    const { code, stdout, stderr } = await process.output();
    const text = new TextDecoder().decode(stdout);
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    assertStringIncludes(text, "⟦tinm</s>⟧");
    assertMatch(text, /RTX 3090 \(24 GB\) +\d+ MiB of 22\.8 GiB {2}fits/);
    assertMatch(text, /time: 0:29 at 3000 tokens\/s \(given\), 29\.\d\d at the given price/);
  }));

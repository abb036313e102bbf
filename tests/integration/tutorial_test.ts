/**
 * docs/tutorial.md, run as it stands: its job, its commands, against a hub on this machine that serves a small model and a small
 * Korean dataset under the page's names.
 */
import { assertEquals, assertExists, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { startHub, WRITER_TOKEN } from "../hub/hub.ts";
import { inTempFolder, root } from "./command_child.ts";

const MODEL = "meta-llama/Llama-2-7b-hf";
const page = await Deno.readTextFile(join(root, "docs/tutorial.md"));
const jobYaml = blockWith("# job.yaml");

/** The tasks, which deno.json runs in its own folder. */
const SCRIPTS: Readonly<Record<string, string>> = {
  plan: "deploy/train/plan_main.ts",
  train: "deploy/train/main.ts",
};

/** The one fenced block with this text. */
function blockWith(text: string): string {
  const found = [...page.matchAll(/^```\w+\n([\s\S]*?)^```$/gm)].map(([, block]) => block!)
    .filter((block) => block.includes(text));
  assertEquals(found.length, 1, `blocks of docs/tutorial.md with ${text}`);
  return found[0]!;
}

/** Animals and what they say, in the tutorial's plain text. */
const ANIMALS = [["강아지", "멍멍"], ["고양이", "야옹"], ["소", "음매"], ["오리", "꽥꽥"], ["돼지", "꿀꿀"]];
const question = (name: string, index: number) => `<usr> ${name}는 어떻게 우나요? ${index}\n<bot>`;
const rows = Array.from({ length: 2000 }, (_, index) => {
  const [name, cry] = ANIMALS[index % ANIMALS.length]!;
  return JSON.stringify({ text: `${question(name!, index)} ${cry}` });
});
const heldOut = ANIMALS.map(([name, cry], index) =>
  JSON.stringify({ prompt: question(name!, 900 + index), completion: ` ${cry}` })
);

/** The demo's base model as the hub has it. */
async function modelFiles(): Promise<Record<string, Uint8Array>> {
  const folder = join(root, "deploy/demo/assets/base");
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await Deno.readFile(join(folder, name))])),
  );
}

/** The first command line of the page with these parts: `deno task …`, with quotes as a shell reads them. */
function commandOf(...parts: readonly string[]): readonly string[] {
  const line = page.split("\n").map((line) => line.trim())
    .find((line) => line.startsWith(parts[0]!) && parts.every((part) => line.includes(part)));
  assertExists(line, `a line of docs/tutorial.md with ${parts}`);
  return line.match(/'[^']*'|\S+/g)!.map((word) => word.replace(/^'(.*)'$/, "$1"));
}

Deno.test("the tutorial: plan, train on a slice, watch, merge, push, and answers side by side", () =>
  inTempFolder(async (folder) => {
    await using hub = await startHub();
    await hub.add("model", MODEL, await modelFiles());
    await hub.add("dataset", "org/korean-chat", { "train.jsonl": `${rows.join("\n")}\n` });
    await Deno.writeTextFile(join(folder, "job.yaml"), jobYaml);
    await Deno.writeTextFile(join(folder, "held-out.jsonl"), heldOut.join("\n"));
    const run = async (command: readonly string[]) => {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", join(root, SCRIPTS[command[2]!]!), ...command.slice(3)],
        cwd: folder,
        env: {
          ...{
            NO_COLOR: "1",
            HF_ENDPOINT: hub.endpoint,
            HF_HOME: join(folder, "hf"),
            HF_TOKEN: WRITER_TOKEN,
          },
          TMPDIR: folder,
        },
      }).output();
      const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      assertEquals(code, 0, text);
      return text;
    };
    const plan = await run(commandOf("deno task plan"));
    assertMatch(plan, /^200 examples in 6 packed rows, .* 0 truncated$/m);
    assertStringIncludes(plan, "강아지는 어떻게 우나요? 0\\n<bot>⟦ 멍멍</s>⟧");
    assertMatch(plan, /RTX 3090 \(24 GB\) .* fits/);
    assertMatch(plan, /time: 1:\d\d at 400 tokens\/s \(given\), 0\.\d\d at the given price/);
    assertEquals(hub.asked(/resolve.*model\.safetensors/), [], "a plan downloads no weights");

    const trained = await run(commandOf("deno task train --model", "--validation"));
    assertMatch(trained, /step 3\/3 {2}loss [\d.]+/);
    assertStringIncludes(trained, "TensorBoard shows this run");
    assertMatch(
      trained,
      /loss: base [\d.]+, tuned [\d.]+; exact match on 5 rows: base [\d.]+ %, tuned [\d.]+ %/,
    );
    const [, base, tuned] = /loss: base ([\d.]+), tuned ([\d.]+)/.exec(trained)!;
    assertEquals(Number(tuned) < Number(base), true, `the tuned model is better: ${base} → ${tuned}`);

    assertStringIncludes(trained, `deno task evaluate --model ${MODEL} --adapter `);

    assertStringIncludes(trained, `pushed: ${hub.endpoint}/org/llama-2-7b-korean`);
    const pushed = hub.repo("model", "org/llama-2-7b-korean");
    assertEquals(pushed.isPrivate, true);
    const names = await Array.fromAsync(Deno.readDir(join(folder, "tuned/merged")), ({ name }) => name);
    assertEquals(names.filter((name) => !pushed.tree().has(name)), [], "the merged model is on the hub");

    const config = JSON.parse(await Deno.readTextFile(join(folder, "tuned/adapter_config.json")));
    assertEquals([config.r, config.lora_alpha, config.base_model_name_or_path], [64, 16, MODEL]);
    const card = await Deno.readTextFile(join(folder, "tuned/merged/README.md"));
    for (const part of [`base_model: ${MODEL}`, "org/korean-chat", "0.0002", "cosine"]) {
      assertStringIncludes(card, part);
    }
    assertEquals((await Deno.stat(join(folder, "tuned/merged/model.safetensors"))).size > 100_000, true);
  }));

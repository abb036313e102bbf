import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import { writeAdapter } from "../files/adapter_file.ts";
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { initialAdapter } from "../../shared/memory/fresh_adapter.ts";
import { planLora } from "../../shared/memory/lora_plan.ts";

const base = join(import.meta.dirname!, "../../deploy/demo/assets/base");
const rows = [
  { prompt: 'Put "plum" in uppercase:\n', completion: "PLUM" },
  { prompt: 'Exchange the ends of "leaf":\n', completion: "feal" },
  { prompt: 'Drop all vowels from "crown":\n', completion: "crwn" },
];

/** Runs the program as the demo does, on `lines`, in its own folder. */
async function evaluate(
  lines: readonly unknown[],
  adapter?: (folder: string) => Promise<void>,
  args: string[] = [],
) {
  const folder = await Deno.makeTempDir();
  try {
    const dataset = join(folder, "rows.jsonl");
    await Deno.writeTextFile(dataset, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    await adapter?.(join(folder, "adapter"));
    const output = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-q", "--no-prompt", "--no-check", "-P=evaluate", join(import.meta.dirname!, "main.ts")],
        ...["--model", base, "--dataset", dataset, "--max-new-tokens", "8", "--allow-cpu"],
        ...(adapter === undefined ? [] : ["--adapter", join(folder, "adapter")]),
        ...["--json", join(folder, "result.json"), ...args],
      ],
    }).output();
    const result = await Deno.readTextFile(join(folder, "result.json")).catch(() => null);
    return {
      code: output.code,
      lastLine: new TextDecoder().decode(output.stderr).trimEnd().split("\n").at(-1)!,
      result: result === null ? null : JSON.parse(result),
      files: [...Deno.readDirSync(folder)].map(({ name }) => name).sort(),
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Writes a fresh adapter; the first elements of its B are `value`, the rest 0. */
async function writeSmallAdapter(folder: string, value: number): Promise<void> {
  const lora = loraSchema.parse({ r: 4, lora_alpha: 8, target_modules: "all-linear" });
  const { layout } = planLora((await openCheckpoint(base)).spec, lora);
  const flat = initialAdapter(layout, 1);
  const tensors = layout.tensors.map(({ name, shape, offset }) => {
    const data = flat.slice(offset, offset + shape[0] * shape[1]);
    if (name.endsWith(".lora_B.weight")) data.fill(value, 0, 8);
    return { name, shape, data };
  });
  await writeAdapter(folder, { tensors, lora, baseModelName: "base" });
}

Deno.test("the base model alone and with a zero adapter give one result, in the demo's form", async () => {
  const alone = await evaluate(rows);
  assertEquals([alone.code, alone.files], [0, ["result.json", "rows.jsonl"]]);
  const { eval_loss, exact_match, prompt_count, samples } = alone.result;
  assert(eval_loss > 0 && eval_loss < 5);
  assertEquals([exact_match, prompt_count], [0, 3]);
  assertEquals(
    samples.map(({ prompt, expected }: typeof samples[0]) => ({ prompt, completion: expected })),
    rows,
  );
  const zero = await evaluate(rows, (folder) => writeSmallAdapter(folder, 0));
  assertEquals(zero.result, alone.result);
  const other = await evaluate(rows, (folder) => writeSmallAdapter(folder, 0.3));
  assert(Math.abs(other.result.eval_loss - eval_loss) > 1e-3);
});

Deno.test("rows of plain text have a loss and no matches", async () => {
  const { code, result } = await evaluate([{ text: "some plain text" }]);
  assertEquals([code, result.prompt_count, result.exact_match, result.samples], [0, 0, 0, []]);
  assert(result.eval_loss > 0);
});

Deno.test("failures exit with code 1, name the cause and write no result", async () => {
  const withField = (field: string, value: unknown) => async (folder: string) => {
    await writeSmallAdapter(folder, 0);
    const path = join(folder, "adapter_config.json");
    await Deno.writeTextFile(
      path,
      JSON.stringify({ ...JSON.parse(await Deno.readTextFile(path)), [field]: value }),
    );
  };
  const cases: [lines: unknown[], adapter: ((folder: string) => Promise<void>) | undefined, words: string][] =
    [
      [[rows[0], { prompt: "no completion" }], undefined, "line 2"],
      [rows, () => Promise.resolve(), "adapter_config.json"],
      [rows, withField("use_dora", true), "use_dora is true"],
      [rows, withField("target_modules", ["wqkv"]), "wqkv"],
      [rows, withField("r", 8), "rank 8"],
    ];
  for (const [lines, adapter, words] of cases) {
    const { code, lastLine, result } = await evaluate(lines, adapter);
    assertEquals([code, result], [1, null]);
    assert(lastLine.startsWith("evaluate: "), lastLine);
    assertStringIncludes(lastLine, words);
  }
  assertEquals((await evaluate(rows, undefined, ["--surplus"])).code, 2);
});

Deno.test("side by side: both models answer, and sampled answers repeat with their seed", async () => {
  const adapter = (folder: string) => writeSmallAdapter(folder, 0.5);
  const run = (seed: string) =>
    evaluate(rows, adapter, ["--side-by-side", "--temperature", "1.5", "--top-k", "50", "--seed", seed]);
  const [first, again, other] = [await run("1"), await run("1"), await run("2")];
  assertEquals([first.code, first.result.base.prompt_count, first.result.tuned.prompt_count], [0, 3, 3]);
  assert(first.result.base.eval_loss !== first.result.tuned.eval_loss);
  assertEquals(again.result, first.result);
  assert(JSON.stringify(other.result.tuned.samples) !== JSON.stringify(first.result.tuned.samples));
  const alone = await evaluate(rows);
  assertEquals(first.result.base.eval_loss, alone.result.eval_loss);
});

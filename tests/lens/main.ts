/**
 * What a training step costs on a card that is not here: the real encode path on a fake device, every dispatch counted.
 *
 *     deno task lens [--model llama2-7b] [--card rtx3090] [options]
 *
 *   --model <name>            smollm2-135m, tinyllama-1b, llama3-1b, llama2-7b, llama3-8b, llama2-70b, llama3-70b, or a
 *                             folder with a config.json                                            (llama2-7b)
 *   --card <name>             rtx3090, rtx4090, l40s, a100-40, a100-80, h100, h200, rx7900xtx, mi300x, m1max-32,
 *                             m1max-64, m2-24, m2ultra-64, or all: a line for each                 (rtx3090)
 *   --lora-r <n>              rank                                                                 (64)
 *   --lora-dropout <p>        dropout of LoRA's input                                              (0.1)
 *   --target-modules <names>  "all-linear", or suffixes of names with commas between              (all-linear)
 *   --tokens <n>              of a micro-batch                                                     (2048)
 *   --documents <n>           of equal length in a micro-batch                                     (1)
 *   --labels <share>          share of a document's tokens, at its end, that are trained           (1)
 *   --micro-batches <n>       of a step                                                            (1)
 *   --memory-budget-mib <n>   what the plan may take, or "none": a worker finds out by allocating  (95% of the card's)
 *   --gradient-checkpointing, --no-gradient-checkpointing                                          (where needed)
 *   --no-double-quant         absmax values in f32
 *   --neftune-noise-alpha <a>, --label-smoothing-factor <s>                                        (0)
 *   --kernels                 also each kernel variant and shape
 *   --isa                     what RADV, Mesa's driver for AMD, makes of the step's kernels: registers, occupancy,
 *                             instructions; needs naga and mesa-vulkan-drivers, no card (RADV_FORCE_FAMILY: navi21)
 *   --write-shares            compiles the products of many models and ranks, and keeps their shares of
 *                             multiply-adds for predictions
 *   --json                    for programs
 *
 * docs/lens.md says what the numbers mean and what they leave out. Exit codes: 0, 1 for a plan that does not fit, 2 usage.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import { exitWithHelp } from "../documents/head_help.ts";
import { cardLines, cardsJson, tryCards } from "./card_table.ts";
import { compileStep, isaJson, isaText, writeShares } from "./isa/isa_report.ts";
import { parseLensOptions } from "./options.ts";
import { reportJson, reportText } from "./report.ts";
import { recordStep, type StepRecord } from "./step.ts";

exitWithHelp(import.meta.url);

async function main(): Promise<void> {
  const options = parseLensOptions(Deno.args);
  const { show, json } = options;
  const print = (text: () => string, object: () => unknown) =>
    console.log(json ? JSON.stringify(object(), null, 2) : text());
  if (show === "cards") {
    const results = await tryCards(options);
    return print(() => cardLines(results), () => cardsJson(results));
  }
  if (show === "shares") return await writeShares(await recordVaried());
  const record = await recordStep(options.spec, options.card, options);
  if (show === "isa") {
    const compiled = await compileStep(record);
    return print(() => isaText(compiled), () => isaJson(compiled));
  }
  print(() => reportText(options, record), () => reportJson(options, record));
}

/** Steps whose products differ, the most usual first: narrower heads, shared keys, a large vocabulary in chunks, small and large ranks, few tokens. */
const VARIED = [
  "--model llama2-7b",
  "--model llama3-8b",
  "--model llama3-1b",
  "--model llama2-7b --lora-r 256",
  "--model llama2-7b --lora-r 16 --tokens 512",
  "--model llama3-8b --lora-r 16 --no-double-quant",
  "--model tinyllama-1b --lora-r 8 --documents 8",
  "--model smollm2-135m --lora-r 16",
  "--model smollm2-135m --lora-r 8 --tokens 256",
];

async function recordVaried(): Promise<StepRecord[]> {
  const records = [];
  for (const args of VARIED) {
    const options = parseLensOptions(args.split(" "));
    records.push(await recordStep(options.spec, options.card, options));
  }
  return records;
}

try {
  await main();
} catch (thrown) {
  if (!(thrown instanceof LoraFleetError)) throw thrown;
  console.error(thrown.message);
  Deno.exitCode = thrown.code === "usage" ? 2 : 1;
}

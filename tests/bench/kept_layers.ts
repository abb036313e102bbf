/**
 * What a micro-batch takes with one layer's activations kept, with half of them and with all, beside what the lens counts: on
 * this machine's GPU or, without one, on the CPU. The models take turns, and the least of the rounds counts: other work on the
 * machine only adds.
 *
 *     deno task bench:kept-layers --model <folder> [--tokens 64] [--rounds 3] [--lora-r 16]
 */
import { parseArgs } from "node:util";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { Gpu } from "../../worker/device/gpu.ts";
import { LanguageModel } from "../../worker/model/language_model.ts";
import { NO_REGULARISATION } from "../../worker/model/regularisation.ts";
import { exitWithHelp } from "../documents/head_help.ts";
import { lensCard } from "../lens/cards.ts";
import { recordStep } from "../lens/step.ts";
import { summarize } from "../lens/summary.ts";

exitWithHelp(import.meta.url);

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    tokens: { type: "string", default: "64" },
    rounds: { type: "string", default: "3" },
    "lora-r": { type: "string", default: "16" },
  },
});
if (values.model === undefined) throw new Error("--model is needed");
const [tokens, rounds] = [Number(values.tokens), Number(values.rounds)];
const lora = loraSchema.parse({
  r: Number(values["lora-r"]),
  target_modules: "all-linear",
  lora_dropout: 0.1,
});
const checkpoint = await openCheckpoint(values.model);
const { spec } = checkpoint;
const TICKS_PER_SECOND = 100;

/** Of this process, all threads. */
function cpuSeconds(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function flopsOf(gradientCheckpointing: boolean): Promise<number> {
  const card = lensCard("h200");
  const record = await recordStep(spec, card, {
    ...{ lora, tokens, documents: 1, labelShare: 1, microBatches: 1, doubleQuantization: true },
    ...{ gradientCheckpointing, memoryBytes: null, regularisation: NO_REGULARISATION },
  });
  return summarize(record, card).flops;
}

const { layerCount, vocabSize } = spec;
const [computedAgain, allKept] = [await flopsOf(true), await flopsOf(false)];
const kept = [1, Math.ceil(layerCount / 2), layerCount];
const gpu = await Gpu.open({ allowCpu: true });
const models = [];
for (const keptLayers of kept) {
  const model = await LanguageModel.load(gpu, checkpoint, {
    ...{ lora, keptLayers, maxTokens: tokens, maxPositions: tokens, doubleQuantization: true },
    ...{ training: true, memoryBudgetBytes: null },
  });
  models.push({ model, keptLayers, cpu: [] as number[], wall: [] as number[] });
}
const batch: MicroBatch = {
  tokens: Uint32Array.from({ length: tokens }, (_, t) => (t * 7919) % vocabSize),
  labels: Int32Array.from({ length: tokens }, (_, t) => t + 1 < tokens ? ((t + 1) * 7919) % vocabSize : -100),
  positions: Uint32Array.from({ length: tokens }, (_, t) => t),
  segmentStarts: new Uint32Array(tokens),
};
const losses = new Set<number>();
// The first round compiles kernels.
for (let round = 0; round <= rounds; round++) {
  for (const { model, cpu, wall } of models) {
    const [cpuBefore, wallBefore] = [cpuSeconds(), performance.now()];
    model.encodeGradient(batch, 1, 0);
    losses.add(new Float32Array(await gpu.read(model.workspace.loss))[0]!);
    if (round === 0) continue;
    cpu.push(cpuSeconds() - cpuBefore);
    wall.push((performance.now() - wallBefore) / 1000);
  }
}
console.log(
  `${gpu.description}, deno ${Deno.version.deno}, ${tokens} tokens, r ${lora.r} on all linear layers, dropout 0.1, ` +
    `best of ${rounds}, load average ${Deno.loadavg()[0]!.toFixed(1)}; losses ${[...losses].join(", ")}\n`,
);
console.log("layers kept   planned MiB   GFLOP   CPU s  wall s   FLOP ratio   CPU ratio");
const best = models.map(({ cpu, wall, ...rest }) => ({
  ...rest,
  cpu: Math.min(...cpu),
  wall: Math.min(...wall),
}));
const last = best.at(-1)!;
for (const { model, keptLayers, cpu, wall } of best) {
  const flops = allKept + (computedAgain - allKept) * (layerCount - keptLayers) / (layerCount - 1);
  console.log([
    `${keptLayers} of ${layerCount}`.padStart(11),
    (model.plannedBytes / 2 ** 20).toFixed(0).padStart(14),
    (flops / 1e9).toFixed(1).padStart(8),
    cpu.toFixed(2).padStart(8),
    wall.toFixed(2).padStart(8),
    (flops / allKept).toFixed(3).padStart(13),
    (cpu / last.cpu).toFixed(3).padStart(12),
  ].join(""));
}
gpu.close();

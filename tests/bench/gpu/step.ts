/**
 * A training step of a model's shape with random NF4 weights on this machine's GPU: memory, tokens/s, and each kind of kernel's time
 * and TFLOP/s beside the lens's prediction. A part of bench:gpu.
 *
 *     deno run -A tests/bench/gpu/step.ts --model llama2-7b [options]
 *
 *   --model <name>            as of `deno task lens`                                               (tinyllama-1b)
 *   --tokens <n>              of a micro-batch                                                     (2048)
 *   --lora-r <n>              rank                                                                 (64)
 *   --micro-batches <n>       that are timed together, after one that compiles                     (4)
 *   --seconds <n>             no further one begins so long after the start, but for the first     (60)
 *   --card <name>             for the prediction, as of `deno task lens`                           (by the GPU's name)
 *   --memory-budget-mib <n>   what the plan may take                                               (what a probe of the card finds)
 *   --allow-cpu               compute on the CPU if there is no GPU
 *   --json <path>             the numbers as JSON; written before the kernels are timed one by one, too
 *
 * Each stage is told when it ends: whoever stops the program has the ones before.
 */
import { parseArgs } from "node:util";
import { loraSchema } from "../../../shared/job/job_spec_schema.ts";
import { initialAdapter } from "../../../shared/memory/fresh_adapter.ts";
import { systemClock } from "../../../shared/clock.ts";
import { probeMemory } from "../../../worker/device/memory/probe_memory.ts";
import { Gpu } from "../../../worker/device/gpu.ts";
import { openDevice } from "../../../worker/device/open_device.ts";
import { LanguageModel } from "../../../worker/model/language_model.ts";
import { exitWithHelp } from "../../documents/head_help.ts";
import { LENS_CARDS, type LensCard, lensCard } from "../../lens/cards.ts";
import { modelNamed } from "../../lens/models.ts";
import { microBatchOf } from "../../lens/step.ts";
import { type KindTime, kindTimes } from "./kind_times.ts";
import { randomCheckpoint } from "./random_checkpoint.ts";
import { TimedDevice } from "./timed/timed_device.ts";

/** What a run measured. */
export interface StepMeasured {
  readonly model: string;
  readonly gpu: string;
  /** By which the prediction was made; null: none is known for this GPU. */
  readonly card: string | null;
  readonly tokens: number;
  readonly loraR: number;
  readonly plannedBytes: number;
  readonly allocatedBytes: number;
  /** Of the card, by nvidia-smi, with what the driver and others take; null: not known. */
  readonly usedBytes: number | null;
  /** What a probe of the card found; null: there was none. */
  readonly probedBytes: number | null;
  readonly loadSeconds: number;
  /** Until all kernels were compiled, which a worker does while it loads; within `firstSeconds`. */
  readonly compileSeconds: number;
  readonly kernelCount: number;
  /** That were timed. */
  readonly microBatches: number;
  /** Up to the last micro-batch that counts for tokens/s, the one that compiles among them. */
  readonly submitCount: number;
  readonly longestSubmitMs: number;
  /** Of the micro-batch that compiled the kernels. */
  readonly firstSeconds: number;
  readonly microBatchSeconds: number;
  readonly tokensPerSecond: number;
  /** Of a micro-batch, as the lens counts. */
  readonly flops: number;
  readonly lossPerLabel: number;
  /** Null: this GPU has no clock that WebGPU can read. */
  readonly kinds: readonly KindTime[] | null;
}

interface StepArguments {
  readonly model: string;
  readonly tokens: number;
  readonly loraR: number;
  readonly microBatches: number;
  readonly seconds: number;
  readonly card: string | null;
  readonly memoryBudgetMib: number | null;
  readonly allowCpu: boolean;
}

/** Of a probed card (worker/engine/gpu_budget.ts). */
const HEADROOM = 0.05;

function cardOf(gpuName: string, given: string | null): LensCard | null {
  if (given !== null) return lensCard(given);
  const words = (name: string) => name.replace(/ SXM$/, "");
  return LENS_CARDS.find(({ name }) => gpuName.includes(words(name))) ?? null;
}

/** As a worker: what the user says, else what a probe of the card finds, of which kept activations leave a part. */
async function budgetOf({ isCpu }: Gpu, { memoryBudgetMib, allowCpu }: StepArguments) {
  const given = memoryBudgetMib === null ? null : memoryBudgetMib * 2 ** 20;
  if (given !== null || isCpu) return { memoryBudgetBytes: given, headroomBytes: 0, probedBytes: null };
  const { device } = await openDevice({ allowCpu });
  const systemAvailable = () => Deno.systemMemoryInfo().available;
  const { bytes } = await probeMemory({ device, clock: systemClock, systemAvailable });
  device.destroy();
  return { memoryBudgetBytes: bytes || null, headroomBytes: HEADROOM * bytes, probedBytes: bytes };
}

type Tell = (line: string) => void;

/** A model with random weights on a GPU whose dispatches can be timed. */
async function loadRandom(given: StepArguments, tell: Tell) {
  const spec = modelNamed(given.model);
  let timed: TimedDevice | null = null;
  const gpu = await Gpu.open({ allowCpu: given.allowCpu }, async (options) => {
    const opened = await openDevice(options);
    timed = new TimedDevice(opened.device, opened.description);
    return { ...opened, device: timed.device };
  });
  tell(`opened ${gpu.description}`);
  const watch = timed as unknown as TimedDevice;
  const lora = loraSchema.parse({ r: given.loraR, lora_dropout: 0.1, target_modules: "all-linear" });
  const { memoryBudgetBytes, headroomBytes, probedBytes } = await budgetOf(gpu, given);
  tell(`probed: ${probedBytes === null ? "no probe" : `${(probedBytes / 2 ** 30).toFixed(2)} GiB`}`);
  const startedAt = performance.now();
  const model = await LanguageModel.load(gpu, randomCheckpoint(spec), {
    ...{
      lora,
      maxTokens: given.tokens,
      maxPositions: given.tokens,
      doubleQuantization: true,
      training: true,
    },
    ...{ keptLayers: "what fits", memoryBudgetBytes, headroomBytes },
  });
  model.flat.write(initialAdapter(model.lora.layout, 1, lora.init_lora_weights));
  await gpu.throwIfFailed("Loading random weights");
  const loadSeconds = (performance.now() - startedAt) / 1000;
  tell(`${model.planText}\nloaded in ${loadSeconds.toFixed(1)} s`);
  return { spec, gpu, watch, model, probedBytes, loadSeconds };
}

/** Computes the gradient of a micro-batch, as the engine does. */
function gradientOf(
  { spec, gpu, model }: Awaited<ReturnType<typeof loadRandom>>,
  tokens: number,
  tell: Tell,
) {
  const batch = microBatchOf(spec, { tokens, documents: 1, labelShare: 1 });
  const labels = batch.labels.filter((label) => label >= 0).length;
  return async (number: number) => {
    const startedAt = performance.now();
    model.encodeGradient(batch, 1, number);
    model.flat.encodeMaxAbs();
    const [loss, maxBits] = await gpu.readAll([model.workspace.loss, model.flat.maxBits]);
    model.flat.encodeAccumulate(new Int8Array(model.lora.layout.tensors.length));
    gpu.submit();
    const seconds = (performance.now() - startedAt) / 1000;
    const lossPerLabel = new Float32Array(loss!)[0]! / labels;
    const largest = new Float32Array(maxBits!).reduce((most, value) => Math.max(most, value), 0);
    tell(
      `micro-batch ${number}: ${
        seconds.toFixed(3)
      } s, loss per label ${lossPerLabel}, largest gradient ${largest}`,
    );
    if (!Number.isFinite(lossPerLabel) || !(largest > 0 && largest < Infinity)) {
      throw new RangeError(`micro-batch ${number}: loss ${lossPerLabel}, largest gradient ${largest}`);
    }
    return { seconds, lossPerLabel };
  };
}

/**
 * @param tell gets a line after each stage
 * @param keep gets what is known before the kernels are timed one by one, and all at the end
 * @throws LoraFleetError `no_gpu`, `does_not_fit`, `gpu_failure`; RangeError for a loss or a gradient that is no number
 */
export async function measureStep(
  given: StepArguments,
  tell: Tell = () => {},
  keep: (measured: StepMeasured) => Promise<void> = () => Promise.resolve(),
): Promise<StepMeasured> {
  const startedAt = performance.now();
  const elapsed = () => (performance.now() - startedAt) / 1000;
  const loaded = await loadRandom(given, tell);
  const { gpu, watch, model, probedBytes, loadSeconds } = loaded;
  const card = cardOf(gpu.description, given.card);
  const microBatch = gradientOf(loaded, given.tokens, tell);
  const first = await microBatch(0);
  const { compileSeconds, kernelCount } = watch;
  tell(`${kernelCount} kernels were compiled in ${compileSeconds.toFixed(2)} s`);
  const timed = [await microBatch(1)];
  while (timed.length < given.microBatches && elapsed() < given.seconds) {
    timed.push(await microBatch(timed.length + 1));
  }
  const microBatchSeconds = timed.reduce((sum, { seconds }) => sum + seconds, 0) / timed.length;
  const usedBytes = await usedVideoMemory();
  const { count: submitCount, longestMs: longestSubmitMs } = gpu.pass.submits.stats;
  const { tokens, loraR } = given;
  const known: StepMeasured = {
    ...{ model: given.model, gpu: gpu.description, card: card?.key ?? null, tokens, loraR },
    ...{ plannedBytes: model.plannedBytes, allocatedBytes: gpu.allocatedBytes, usedBytes, probedBytes },
    ...{ loadSeconds, compileSeconds, kernelCount, microBatches: timed.length },
    ...{ submitCount, longestSubmitMs, firstSeconds: first.seconds, microBatchSeconds },
    ...{ tokensPerSecond: tokens / microBatchSeconds, lossPerLabel: timed.at(-1)!.lossPerLabel },
    ...{ flops: 0, kinds: null },
  };
  await keep(known);
  watch.start();
  await microBatch(timed.length + 1);
  await gpu.read(model.workspace.loss);
  const { flops, kinds } = kindTimes(await watch.stop(), card);
  const measured = { ...known, flops, kinds: watch.canTime ? kinds : null };
  await keep(measured);
  gpu.close();
  return measured;
}

async function usedVideoMemory(): Promise<number | null> {
  const args = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"];
  try {
    const { stdout } = await new Deno.Command("nvidia-smi", { args }).output();
    const mib = Number(new TextDecoder().decode(stdout).split("\n")[0]);
    return Number.isFinite(mib) && mib > 0 ? mib * 2 ** 20 : null;
  } catch {
    return null;
  }
}

function text(measured: StepMeasured): string {
  const { model, gpu, card, tokens, loraR, kinds, flops, microBatchSeconds } = measured;
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(2);
  const number = (value: number | null, digits: number) => value === null ? "-" : value.toFixed(digits);
  const short = (value: number) => String(Number(value.toPrecision(3)));
  const cells = (name: string, values: readonly string[]) =>
    name.padEnd(26) + values.map((value) => value.padStart(12)).join("");
  return [
    `${model} on ${gpu}, 1 × ${tokens} tokens, LoRA r ${loraR}, dropout 0.1, random NF4 weights`,
    `memory: ${gib(measured.plannedBytes)} GiB planned, ${gib(measured.allocatedBytes)} allocated` +
    `${measured.probedBytes === null ? "" : `, ${gib(measured.probedBytes)} found by a probe`}` +
    `${measured.usedBytes === null ? "" : `, ${gib(measured.usedBytes)} taken on the card`}; load ` +
    `${measured.loadSeconds.toFixed(1)} s, first micro-batch ${
      measured.firstSeconds.toFixed(2)
    } s, of which ` +
    `${measured.kernelCount} kernels were compiled in ${measured.compileSeconds.toFixed(2)}`,
    `mean of ${measured.microBatches} micro-batches ${microBatchSeconds.toFixed(3)} s: ${
      measured.tokensPerSecond.toFixed(0)
    } tokens/s, ` +
    `${short(flops / 1e12 / microBatchSeconds)} TFLOP/s; loss per label ${measured.lossPerLabel.toFixed(3)}`,
    `submits since the start: ${measured.submitCount}, the longest ${measured.longestSubmitMs.toFixed(0)} ms`,
    ...kinds === null ? ["per kernel: this GPU has no clock that WebGPU can read"] : [
      `per kernel, each dispatch in a pass of its own; predicted for ${
        card ?? "no card: unknown to the lens"
      }`,
      cells("", ["dispatches", "ms", "predicted", "TFLOP", "TFLOP/s", "GB/s"]),
      ...kinds.map((kind) =>
        cells(kind.kind, [
          String(kind.dispatches),
          ...[
            number(1000 * kind.seconds, 2),
            number(kind.predictedSeconds && 1000 * kind.predictedSeconds, 2),
          ],
          ...[short(kind.flops / 1e12), short(kind.flops / 1e12 / kind.seconds)],
          short(kind.bytes / 1e9 / kind.seconds),
        ])
      ),
    ],
  ].join("\n");
}

if (import.meta.main) {
  exitWithHelp(import.meta.url);
  const { values } = parseArgs({
    options: {
      ...{ model: { type: "string", default: "tinyllama-1b" }, card: { type: "string" } },
      ...{ tokens: { type: "string", default: "2048" }, "lora-r": { type: "string", default: "64" } },
      ...{ "micro-batches": { type: "string", default: "4" }, "memory-budget-mib": { type: "string" } },
      seconds: { type: "string", default: "60" },
      ...{ "allow-cpu": { type: "boolean", default: false }, json: { type: "string" } },
    },
  });
  const budget = values["memory-budget-mib"];
  const given = {
    ...{ model: values.model, tokens: Number(values.tokens), loraR: Number(values["lora-r"]) },
    ...{ microBatches: Number(values["micro-batches"]), seconds: Number(values.seconds) },
    ...{ card: values.card ?? null, allowCpu: values["allow-cpu"] },
    memoryBudgetMib: budget === undefined ? null : Number(budget),
  };
  const { json } = values;
  const keep = async (measured: StepMeasured) => {
    if (json !== undefined) await Deno.writeTextFile(json, JSON.stringify(measured));
  };
  console.log(text(await measureStep(given, (line) => console.log(line), keep)));
}

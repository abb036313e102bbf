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
 *   --card <name>             for the prediction, as of `deno task lens`                           (by the GPU's name)
 *   --memory-budget-mib <n>   what the plan may take                                               (what a probe of the card finds)
 *   --allow-cpu               compute on the CPU if there is no GPU
 *   --json <path>             the numbers as JSON
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

/** @throws LoraFleetError `no_gpu`, `does_not_fit`, `gpu_failure`; RangeError for a loss that is no number */
export async function measureStep(given: StepArguments): Promise<StepMeasured> {
  const { model: name, tokens, loraR } = given;
  const spec = modelNamed(name);
  let timed: TimedDevice | null = null;
  const gpu = await Gpu.open({ allowCpu: given.allowCpu }, async (options) => {
    const opened = await openDevice(options);
    timed = new TimedDevice(opened.device, opened.description);
    return { ...opened, device: timed.device };
  });
  const watch = timed as unknown as TimedDevice;
  const card = cardOf(gpu.description, given.card);
  const lora = loraSchema.parse({ r: loraR, lora_dropout: 0.1, target_modules: "all-linear" });
  const { memoryBudgetBytes, headroomBytes, probedBytes } = await budgetOf(gpu, given);
  const startedAt = performance.now();
  const model = await LanguageModel.load(gpu, randomCheckpoint(spec), {
    ...{ lora, maxTokens: tokens, maxPositions: tokens, doubleQuantization: true, training: true },
    ...{ keptLayers: "what fits", memoryBudgetBytes, headroomBytes },
  });
  const { layout } = model.lora;
  model.flat.write(initialAdapter(layout, 1, lora.init_lora_weights));
  await gpu.throwIfFailed("Loading random weights");
  const loadSeconds = (performance.now() - startedAt) / 1000;

  const batch = microBatchOf(spec, { tokens, documents: 1, labelShare: 1 });
  const labels = batch.labels.filter((label) => label >= 0).length;
  const microBatch = async (number: number) => {
    const startedAt = performance.now();
    model.encodeGradient(batch, 1, number);
    model.flat.encodeMaxAbs();
    const [loss] = await gpu.readAll([model.workspace.loss, model.flat.maxBits]);
    model.flat.encodeAccumulate(new Int8Array(layout.tensors.length));
    gpu.submit();
    const lossPerLabel = new Float32Array(loss!)[0]! / labels;
    if (!Number.isFinite(lossPerLabel)) {
      throw new RangeError(`the loss of micro-batch ${number} is ${lossPerLabel}`);
    }
    return { seconds: (performance.now() - startedAt) / 1000, lossPerLabel };
  };
  const first = await microBatch(0);
  let [sum, last] = [0, first];
  for (let number = 1; number <= given.microBatches; number++) {
    last = await microBatch(number);
    sum += last.seconds;
  }
  const microBatchSeconds = sum / given.microBatches;
  const usedBytes = await usedVideoMemory();
  const { count, longestMs } = gpu.pass.submits.stats;
  watch.start();
  await microBatch(given.microBatches + 1);
  await gpu.read(model.workspace.loss);
  const { flops, kinds } = kindTimes(await watch.stop(), card);
  const measured: StepMeasured = {
    ...{ model: name, gpu: gpu.description, card: card?.key ?? null, tokens, loraR },
    ...{
      plannedBytes: model.plannedBytes,
      allocatedBytes: gpu.allocatedBytes,
      usedBytes,
      probedBytes,
      loadSeconds,
    },
    ...{ submitCount: count, longestSubmitMs: longestMs },
    ...{ firstSeconds: first.seconds, microBatchSeconds, tokensPerSecond: tokens / microBatchSeconds },
    ...{ flops, lossPerLabel: last.lossPerLabel, kinds: watch.canTime ? kinds : null },
  };
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
    `${measured.loadSeconds.toFixed(1)} s, first micro-batch ${measured.firstSeconds.toFixed(2)} s`,
    `micro-batch ${microBatchSeconds.toFixed(3)} s: ${measured.tokensPerSecond.toFixed(0)} tokens/s, ` +
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
      ...{ "allow-cpu": { type: "boolean", default: false }, json: { type: "string" } },
    },
  });
  const budget = values["memory-budget-mib"];
  const measured = await measureStep({
    ...{ model: values.model, tokens: Number(values.tokens), loraR: Number(values["lora-r"]) },
    ...{ microBatches: Number(values["micro-batches"]), card: values.card ?? null },
    ...{ memoryBudgetMib: budget === undefined ? null : Number(budget), allowCpu: values["allow-cpu"] },
  });
  console.log(text(measured));
  if (values.json !== undefined) await Deno.writeTextFile(values.json, JSON.stringify(measured));
}

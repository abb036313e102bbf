/**
 * A model whose tables are in 16 bits on the GPU beside the same numbers in f32, read as a whole: memory, load and step, each in a process of its
 * own, in turns. The loss and the gradient's digest of both have to be the same.
 *
 *     deno run -A tests/bench/tables.ts --model FOLDER [--rounds 3] [--tokens 64]
 */
import { parseArgs } from "node:util";
import { type Checkpoint, openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import { pcg32 } from "../../shared/prng.ts";
import { Gpu } from "../../worker/device/gpu.ts";
import { gradientDigestOf } from "../../worker/engine/gradient_digest.ts";
import { LanguageModel } from "../../worker/model/language_model.ts";
import { median } from "./statistics.ts";

interface Measured {
  readonly plannedMib: number;
  readonly loadCpuS: number;
  readonly loadPeakMib: number;
  readonly stepCpuS: number;
  readonly stepWallS: number;
  readonly loss: number;
  readonly digest: string;
}

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    rounds: { type: "string", default: "3" },
    tokens: { type: "string", default: "64" },
    child: { type: "string" },
  },
});
const folder = values.model!;
const length = Number(values.tokens);

/** Of this process and all of its threads. */
function cpuSeconds(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function peakMib(): number {
  return Number(/VmHWM:\s+(\d+)/.exec(Deno.readTextFileSync("/proc/self/status"))![1]) / 1024;
}

/** Tables as versions before 44 had them: whole in main memory, and converted there. */
function inFloats(checkpoint: Checkpoint): Checkpoint {
  return {
    ...checkpoint,
    dtypeOf: () => "F32",
    async *readPieces(name, shape) {
      yield new Uint8Array((await checkpoint.readTensor(name, shape)).buffer as ArrayBuffer);
    },
  };
}

/** Loads the model, and computes a gradient three times: the first one compiles the kernels. */
async function measure(): Promise<Measured> {
  const stored = await openCheckpoint(folder);
  const checkpoint = values.child === "in f32" ? inFloats(stored) : stored;
  const gpu = await Gpu.open({ allowCpu: true });
  const [baseMib, cpu] = [peakMib(), cpuSeconds()];
  const model = await LanguageModel.load(gpu, checkpoint, {
    ...{ lora: loraSchema.parse({ r: 8 }), maxTokens: length, maxPositions: length, training: true },
    ...{ doubleQuantization: true, keptLayers: "all", memoryBudgetBytes: null },
  });
  const [loadCpuS, loadPeakMib] = [cpuSeconds() - cpu, peakMib() - baseMib];
  const prng = pcg32(7);
  model.flat.write(Float32Array.from({ length: model.lora.layout.elementCount }, () => 0.02 * prng.normal()));
  const tokens = Uint32Array.from({ length }, () => prng.uint32() % checkpoint.spec.vocabSize);
  const batch = {
    ...{ tokens, labels: Int32Array.from(tokens), positions: Uint32Array.from(tokens.keys()) },
    segmentStarts: new Uint32Array(length),
  };
  const steps: { readonly cpuS: number; readonly wallS: number }[] = [];
  let [loss, digest] = [NaN, ""];
  for (let step = 0; step < 4; step++) {
    const [wall, cpu] = [performance.now(), cpuSeconds()];
    model.encodeGradient(batch, 1, 0);
    [loss] = new Float32Array(await gpu.read(model.workspace.loss)) as unknown as [number];
    steps.push({ cpuS: cpuSeconds() - cpu, wallS: (performance.now() - wall) / 1000 });
    digest = gradientDigestOf((await model.flat.readGradient()).buffer);
  }
  const [stepCpuS, stepWallS] = (["cpuS", "wallS"] as const).map((name) =>
    median(steps.slice(1).map((step) => step[name]))
  );
  const plannedMib = model.plannedBytes / 2 ** 20;
  return { plannedMib, loadCpuS, loadPeakMib, stepCpuS: stepCpuS!, stepWallS: stepWallS!, loss, digest };
}

async function inProcess(version: "as stored" | "in f32"): Promise<Measured> {
  const args = ["run", "-A", "--no-check", "--unstable-webgpu", import.meta.filename!];
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: [...args, "--child", version, "--model", folder, "--tokens", values.tokens],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`measuring tables ${version} failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

async function compare(): Promise<void> {
  const runs: { half: Measured; whole: Measured }[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const [half, whole] = [await inProcess("as stored"), await inProcess("in f32")];
    if (half.loss !== whole.loss || half.digest !== whole.digest) throw new Error("the bits differ");
    runs.push({ half, whole });
    console.log(JSON.stringify({ round, half, whole }));
  }
  console.log(`${"".padEnd(14)}${"as stored".padStart(12)}${"in f32".padStart(12)}${"ratio".padStart(10)}`);
  for (const name of ["plannedMib", "loadPeakMib", "loadCpuS", "stepCpuS", "stepWallS"] as const) {
    const [half, whole] = [
      median(runs.map(({ half }) => half[name])),
      median(runs.map(({ whole }) => whole[name])),
    ];
    const cells = [
      half.toFixed(2).padStart(12),
      whole.toFixed(2).padStart(12),
      (half / whole).toFixed(3).padStart(10),
    ];
    console.log(`${name.padEnd(14)}${cells.join("")}`);
  }
}

if (values.child !== undefined) console.log(JSON.stringify(await measure()));
else await compare();
Deno.exit(0);

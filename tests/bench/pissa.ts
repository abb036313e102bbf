/**
 * What PiSSA's start costs: the exact and the randomised decomposition, and the residual, on one core, for a layer of a 7B model
 * with random numbers (the slowest case) and for the layers of a base model, whose folder may follow.
 */
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { subtractStart } from "../../shared/checkpoint/low_rank.ts";
import { adapterModules } from "../../shared/job/adapter_modules.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import { residualCheckpoint } from "../../shared/checkpoint/merge/residual.ts";
import { quantizeNf4 } from "../../shared/checkpoint/nf4/nf4_quantise.ts";
import { linearModules, modelModules } from "../../shared/model/model_tensors.ts";
import { LinearReader } from "../../worker/files/linears/read_ahead.ts";
import { pcg32 } from "../../shared/prng.ts";
import { computeStarts } from "../../worker/engine/pissa/start_pool.ts";
import { startOf } from "../../worker/engine/pissa/start.ts";

const RANK = 16;
const seconds = async (work: () => unknown) => {
  const [began, cpu] = [performance.now(), cpuSeconds()];
  await work();
  const took = (performance.now() - began) / 1000;
  return `${took.toFixed(2)} s (CPU ${(cpuSeconds() - cpu).toFixed(2)})`;
};

/** Of this process, its threads included. */
function cpuSeconds(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function randomLayer(rows: number, columns: number): Promise<void> {
  const random = pcg32(1);
  const values = Float32Array.from({ length: rows * columns }, () => 0.02 * random.normal());
  const weight = { rows, columns, values };
  const options = { rank: RANK, scale: 2 };
  const exact = await seconds(() => startOf(weight, { ...options, iterations: null }));
  const fast = await seconds(() => startOf(weight, { ...options, iterations: 4 }));
  const start = startOf(weight, { ...options, iterations: 0 });
  const shape = { outFeatures: rows, inFeatures: columns };
  const residual = await seconds(() => subtractStart(values, { ...options, ...start, ...shape }));
  console.log(
    `random [${rows}, ${columns}], r ${RANK}: pissa ${exact}, pissa_niter_4 ${fast}, residual ${residual}`,
  );
}

/** What a model's layers take once their starts are known: as one thread did it before, and in the threads that load a plain base. */
export async function residuals(folder: string): Promise<void> {
  const checkpoint = await openCheckpoint(folder);
  const modules = linearModules(checkpoint.spec);
  const starts = new Map(modules.map(({ name, outFeatures, inFeatures }) => {
    const [a, b] = [RANK * inFeatures, RANK * outFeatures].map((count) => new Float32Array(count).fill(1e-3));
    return [name, { rank: RANK, scale: 2, a: a!, b: b!, inFeatures }];
  }));
  const options = { doubleQuantization: true };
  const before = await seconds(async () => {
    for (const { name, outFeatures: rows, inFeatures: columns } of modules) {
      const values = await checkpoint.readTensor(`${name}.weight`, [rows, columns]);
      subtractStart(values, starts.get(name)!);
      quantizeNf4(values, { rows, columns, ...options });
    }
  });
  const took: string[] = [];
  for (const threads of [1, navigator.hardwareConcurrency]) {
    const residual = residualCheckpoint(checkpoint, (name) => starts.get(name));
    using reader = new LinearReader(residual, { ...options, cache: null, threads });
    const time = await seconds(async () => {
      for (const { name, outFeatures, inFeatures } of modules) {
        await reader.checkpoint.readLinear(name, outFeatures, inFeatures, options);
      }
    });
    took.push(`${threads} ${threads === 1 ? "thread" : "threads"} ${time}`);
  }
  console.log(`${modules.length} residuals in NF4, r ${RANK}: before ${before}, now ${took.join(", ")}`);
}

async function model(folder: string): Promise<void> {
  const { spec } = await openCheckpoint(folder);
  const modules = adapterModules(
    loraSchema.parse({ r: RANK, target_modules: "all-linear" }),
    modelModules(spec),
  );
  const elements = modules.reduce((sum, module) => sum + module.outFeatures * module.inFeatures, 0);
  for (const iterations of [null, 4, 16]) {
    const took = await seconds(() => computeStarts({ modelFolder: folder, modules, iterations, threads: 1 }));
    const kind = iterations === null ? "pissa" : `pissa_niter_${iterations}`;
    console.log(
      `${modules.length} layers of ${(elements / 1e6).toFixed(0)}M weights, r ${RANK}: ${kind} ${took}`,
    );
  }
}

if (import.meta.main) {
  await randomLayer(4096, 4096);
  await randomLayer(11008, 4096);
  for (const folder of Deno.args) {
    await residuals(folder);
    await model(folder);
  }
}

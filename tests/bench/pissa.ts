/**
 * What PiSSA's start costs: the exact and the randomised decomposition, and the residual, on one core, for a layer of a 7B model
 * with random numbers (the slowest case) and for the layers of a base model, whose folder may follow.
 */
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { subtractStart } from "../../shared/checkpoint/low_rank.ts";
import { adapterModules } from "../../shared/job/adapter_modules.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import { modelModules } from "../../shared/model/model_tensors.ts";
import { pcg32 } from "../../shared/prng.ts";
import { computeStarts } from "../../worker/engine/pissa/start_pool.ts";
import { startOf } from "../../worker/engine/pissa/start.ts";

const RANK = 16;
const seconds = async (work: () => unknown) => {
  const began = performance.now();
  await work();
  return `${((performance.now() - began) / 1000).toFixed(2)} s`;
};

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

await randomLayer(4096, 4096);
await randomLayer(11008, 4096);
for (const folder of Deno.args) await model(folder);

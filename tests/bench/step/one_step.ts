/**
 * One side of bench:step in a process of its own: `before ELEMENTS ROUNDS`, `now ELEMENTS ROUNDS THREADS` or `bits ELEMENTS`.
 * Prints JSON.
 */
import process from "node:process";
import { emptyState } from "../../../worker/optimizer/adamw_state.ts";
import { adamwUpdate } from "../../../worker/optimizer/adamw.ts";
import { OptimizerState } from "../../../worker/optimizer/optimizer_state.ts";
import { Crew } from "../../../worker/optimizer/threads/crew.ts";
import { edgeFloats, edgeSums } from "../../../worker/optimizer/wasm/edge_values.ts";
import { pcg32 } from "../../../shared/prng.ts";
import { StepBefore } from "./before.ts";
import { fillSums, layoutOf, requestOf } from "./cases.ts";

export interface Time {
  readonly cpuS: number;
  readonly wallS: number;
}

/** By the name of a part: its least times. */
export type Times = Readonly<Record<string, Time>>;

const times: Record<string, Time> = {};

async function timed<T>(name: string, part: () => T | Promise<T>): Promise<T> {
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  const result = await part();
  const wallS = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const cpuS = (user + system) / 1e6;
  const least = times[name];
  times[name] = least === undefined
    ? { cpuS, wallS }
    : { cpuS: Math.min(least.cpuS, cpuS), wallS: Math.min(least.wallS, wallS) };
  return result;
}

async function before(elementCount: number, rounds: number): Promise<Times> {
  const layout = layoutOf(elementCount);
  const step = new StepBefore(layout, new Float32Array(elementCount).fill(0.01));
  const mapped = new Int32Array(elementCount);
  fillSums(mapped);
  for (let round = 1; round <= rounds; round++) {
    const sums = await timed("copies of the sums", () => step.readSums(mapped));
    await timed("norm and AdamW", () => step.update(requestOf(layout, sums, round)));
    await timed("digest", () => step.digest());
    step.commit();
  }
  await timed("exported state", () => step.export());
  return times;
}

async function now(elementCount: number, rounds: number, threads: number): Promise<Times> {
  const layout = layoutOf(elementCount);
  const state = new OptimizerState(layout, { crew: new Crew(threads) });
  await state.begin(new Float32Array(elementCount).fill(0.01));
  const mapped = new Int32Array(elementCount);
  fillSums(mapped);
  for (let round = 1; round <= rounds; round++) {
    await timed("copies of the sums", () => state.sums.set(mapped));
    const request = requestOf(layout, state.sums, round);
    await timed("norm and AdamW", () => state.update({ ...request, digestKind: "none" }));
    await timed("norm, AdamW and fingerprint", () => state.update({ ...request, digestKind: "fingerprint" }));
    await timed("norm, AdamW and digest", () => state.update(request));
    state.commit();
  }
  await timed("exported state", () => state.export());
  state.close();
  return times;
}

/** How many bits of new and reference differ on random and edge values: 0. */
async function bits(elementCount: number): Promise<{ elements: number; differing: number }> {
  const layout = layoutOf(elementCount);
  const prng = pcg32(21);
  const edges = edgeFloats();
  const any = (): number =>
    prng.uint32() % 8 === 0
      ? edges[prng.uint32() % edges.length]!
      : (prng.uniform() - 0.5) * 10 ** -(prng.uint32() % 9);
  const from = emptyState(elementCount);
  const sums = new Int32Array(elementCount);
  for (let i = 0; i < elementCount; i++) {
    [from.adapter[i], from.firstMoment[i], from.secondMoment[i]] = [any(), any(), Math.abs(any())];
    sums[i] = prng.uint32() % 8 === 0 ? edgeSums[prng.uint32() % edgeSums.length]! : prng.uint32();
  }
  const request = requestOf(layout, sums, 7);
  const expected = emptyState(elementCount);
  const norm = adamwUpdate(layout, request, from, expected);
  const state = new OptimizerState(layout, { crew: new Crew(2) });
  await state.import({ updateCount: 6, ...from });
  const { gradientNorm } = await state.update(request);
  state.commit();
  let differing = gradientNorm === norm ? 0 : 1;
  for (const array of ["adapter", "firstMoment", "secondMoment"] as const) {
    const [found, right] = [state.view[array], expected[array]];
    // NaN is one value; Object.is tells −0 from 0.
    for (let i = 0; i < elementCount; i++) if (!Object.is(found[i], right[i])) differing++;
  }
  state.close();
  return { elements: elementCount, differing };
}

const [side, elements, rounds, threads] = [Deno.args[0], ...Deno.args.slice(1).map(Number)];
const run = side === "before"
  ? before(elements!, rounds!)
  : side === "now"
  ? now(elements!, rounds!, threads!)
  : bits(elements!);
console.log(JSON.stringify(await run));

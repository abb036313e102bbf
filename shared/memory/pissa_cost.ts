/** What PiSSA's start takes of each worker's processors and main memory, before the first step. */
import type { AdapterModule } from "../job/adapter_modules.ts";

type Sizes = Pick<AdapterModule, "outFeatures" | "inFeatures" | "rank">;

const sizeOf = ({ outFeatures, inFeatures }: Sizes) => outFeatures * inFeatures;

/** Random vectors, bases and what is found, in bytes for each row and column of a weight: 400 numbers in f64. */
const VECTOR_BYTES = 8 * 400;
/** Multiplications of two f64 numbers, each added to a sum, in a second of one processor (docs/benchmarks/pissa.txt). */
const PRODUCTS_PER_SECOND = 8e8;
/** Products of the exact decomposition with a weight of a language model: two for each step until it has converged. */
const EXACT_PRODUCTS = 2 * 150;

/** Main memory of one thread: its largest weight, as it is read and in f32, and the vectors. */
export function pissaThreadBytes(modules: readonly Sizes[]): number {
  return Math.max(
    ...modules.map((module) => 8 * sizeOf(module) + VECTOR_BYTES * (module.outFeatures + module.inFeatures)),
  );
}

/**
 * Seconds of one processor, about: the decompositions, which threads share, and the residual.
 * @param iterations null: the exact decomposition
 */
export function pissaSeconds(modules: readonly Sizes[], iterations: number | null): number {
  const products = modules.reduce((sum, module) => {
    const vectors = iterations === null ? EXACT_PRODUCTS : module.rank * (2 * iterations + 2);
    return sum + sizeOf(module) * (vectors + module.rank);
  }, 0);
  return products / PRODUCTS_PER_SECOND;
}

/** A sentence for the user. */
export function pissaCostText(modules: readonly Sizes[], iterations: number | null): string {
  const minutes = pissaSeconds(modules, iterations) / 60;
  const time = minutes < 1 ? "less than a minute" : `about ${Math.ceil(minutes)} minutes`;
  const mib = Math.ceil(pissaThreadBytes(modules) / 2 ** 20);
  return `PiSSA: before its first step each worker takes ${modules.length} weights apart, ${time} of one processor ` +
    `divided by those it has, with up to ${mib} MiB of main memory for each.`;
}

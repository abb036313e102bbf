import { assertEquals } from "@std/assert";
import { pcg32 } from "../../../shared/prng.ts";
import type { GradientLayout } from "../../../shared/model/gradient_layout.ts";
import { adamwUpdate, type UpdateRequest } from "../adamw.ts";
import { emptyState } from "../adamw_state.ts";
import { OptimizerState } from "../optimizer_state.ts";
import { Crew } from "../threads/crew.ts";
import { adamwKernel, KERNEL_BYTES, MEMORIES } from "./adamw_kernel.ts";
import { edgeFloats, edgeSums } from "./edge_values.ts";

const SIZE = 2 ** 16;
const layout: GradientLayout = {
  tensors: [{ name: "a", shape: [1, SIZE / 2], offset: 0 }, {
    name: "b",
    shape: [1, SIZE / 2],
    offset: SIZE / 2,
  }],
  elementCount: SIZE,
  parameterCount: SIZE,
};

/** NaN is one value: neither JavaScript nor WebAssembly says which of its bits a result has. */
const bitsOf = (values: Float32Array) =>
  new Int32Array(values.map((value) => Number.isNaN(value) ? NaN : value).buffer);

const common = { labelCount: 1000, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
const cases: Readonly<Record<string, Omit<UpdateRequest, "sums">>> = {
  "an ordinary update": {
    ...{ ...common, exponents: Int8Array.of(-30, -24), learningRate: 2e-4, updateNumber: 3 },
    ...{ weightDecay: 0.001, maxGradientNorm: 0.3 },
  },
  "no clipping, no decay, no epsilon": {
    ...{ ...common, exponents: Int8Array.of(0, -60), learningRate: 0.1, updateNumber: 1, epsilon: 0 },
    ...{ weightDecay: 0, maxGradientNorm: 0 },
  },
  "exponents at both ends": {
    ...{ ...common, exponents: Int8Array.of(127, -128), learningRate: 1e-30, updateNumber: 100_000 },
    ...{ weightDecay: 1e10, maxGradientNorm: 0 },
  },
};

for (const [name, request] of Object.entries(cases)) {
  Deno.test(`the kernel has the reference's bits on random and edge values: ${name}`, async () => {
    const prng = pcg32(11);
    const edges = edgeFloats();
    const any = (): number => {
      const kind = prng.uint32() % 4;
      return kind === 0 ? edges[prng.uint32() % edges.length]! : prng.normal() * 10 ** (-(kind - 1) * 4);
    };
    const sums = Int32Array.from(
      { length: SIZE },
      () =>
        prng.uint32() % 8 === 0
          ? edgeSums[prng.uint32() % edgeSums.length]!
          : prng.uint32() >> prng.uint32() % 31,
    );
    const from = emptyState(SIZE);
    for (let i = 0; i < SIZE; i++) {
      [from.adapter[i], from.firstMoment[i]] = [any(), any()];
      const square = any();
      from.secondMoment[i] = i % 16 === 0 ? square : Math.abs(square);
    }
    const expected = emptyState(SIZE);
    const norm = adamwUpdate(layout, { ...request, sums }, from, expected);
    const state = new OptimizerState(layout, { crew: new Crew(1) });
    await state.import({ updateCount: 0, ...from });
    assertEquals((await state.update({ ...request, sums })).gradientNorm, norm);
    state.commit();
    for (const array of ["adapter", "firstMoment", "secondMoment"] as const) {
      const [found, right] = [bitsOf(state.view[array]), bitsOf(expected[array])];
      const differing = found.findIndex((word, i) => word !== right[i]);
      assertEquals(differing, -1, `${array}[${differing}]`);
    }
  });
}

Deno.test("the module is valid, and small", () => {
  assertEquals(WebAssembly.validate(KERNEL_BYTES), true);
  assertEquals(KERNEL_BYTES.length < 1024, true);
});

Deno.test("the last elements of the largest adapter, whose memories end at 2^32 bytes, are updated like all others", () => {
  const elementCount = 2 ** 30;
  // One memory in place of seven: only the pages that are touched exist.
  const memory = new WebAssembly.Memory({ initial: 65536, maximum: 65536, shared: true });
  const kernel = adamwKernel(
    Object.fromEntries(MEMORIES.map((name) => [name, memory])) as Parameters<typeof adamwKernel>[0],
  );
  const last = new Int32Array(memory.buffer, 4 * (elementCount - 4), 4);
  last.set([1, 2, 3, 4]);
  assertEquals(kernel.squares(elementCount - 4, elementCount), 30);
  const zero = { beta1: 0, rest1: 0, beta2: 0, rest2: 0, stepSize: 0, epsilon: 1, keep: 0 };
  kernel.update(elementCount - 4, elementCount, 1, zero);
  assertEquals([...last], [0, 0, 0, 0]);
});

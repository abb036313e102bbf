import { assertEquals, assertNotEquals } from "@std/assert";
import { pcg32 } from "../../../shared/prng.ts";
import { adamwUpdate, type UpdateRequest } from "../adamw.ts";
import { type AdamWState, emptyState } from "../adamw_state.ts";
import { OptimizerState } from "../optimizer_state.ts";
import { Crew } from "../threads/crew.ts";
import { BLOCK_ELEMENTS, fingerprintOf } from "./fingerprint.ts";
import { allocateFingerprint, fingerprintKernel, KERNEL_BYTES } from "./fingerprint_kernel.ts";

const fingerprintOfState = ({ adapter, firstMoment, secondMoment }: AdamWState) =>
  fingerprintOf([adapter, firstMoment, secondMoment]);

function caseOf(elementCount: number) {
  const layout = {
    tensors: [{ name: "a", shape: [1, elementCount] as const, offset: 0 }],
    elementCount,
    parameterCount: elementCount,
  };
  const prng = pcg32(elementCount);
  const from = emptyState(elementCount);
  for (const array of Object.values(from)) {
    for (let i = 0; i < elementCount; i++) {
      array[i] = prng.uniform() - 0.4 * Number(array !== from.secondMoment);
    }
  }
  const request: UpdateRequest = {
    ...{ sums: Int32Array.from({ length: elementCount }, () => prng.uint32()), exponents: Int8Array.of(-31) },
    ...{ labelCount: 9, learningRate: 1e-3, updateNumber: 4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    ...{ weightDecay: 0.01, maxGradientNorm: 1, digestKind: "fingerprint" },
  };
  const expected = emptyState(elementCount);
  adamwUpdate(layout, request, from, expected);
  return { layout, from, request, expected };
}

Deno.test("an update's fingerprint is the reference's, with one thread and with two, for whole and broken blocks and chunks", async () => {
  // Less than a block, whole blocks, whole chunks, and more elements than a page has.
  for (const elementCount of [64, 1024, 2048 + 64, 16384, 3 * 16384 + 1024 + 128]) {
    const { layout, from, request, expected } = caseOf(elementCount);
    for (const threads of [1, 2]) {
      const state = new OptimizerState(layout, { crew: new Crew(threads) });
      await state.import({ updateCount: 3, ...from });
      const { digest } = await state.update(request);
      assertEquals(digest, fingerprintOfState(expected), `${elementCount} elements, ${threads} threads`);
      // The memory of the sums is used again.
      assertEquals((await state.update(request)).digest, digest);
      assertNotEquals((await state.update({ ...request, digestKind: "sha256" })).digest, digest);
      state.close();
    }
  }
});

Deno.test("every single bit of adapter and moments is in the fingerprint, and so is the place of a block", () => {
  const { expected: state } = caseOf(3 * BLOCK_ELEMENTS);
  const right = fingerprintOfState(state);
  const prng = pcg32(5);
  for (const name of ["adapter", "firstMoment", "secondMoment"] as const) {
    const words = new Uint32Array(state[name].buffer);
    for (let bit = 0; bit < 32; bit++) {
      const at = prng.uint32() % words.length;
      words[at]! ^= 1 << bit;
      assertNotEquals(fingerprintOfState(state), right, `bit ${bit} of ${name}[${at}]`);
      words[at]! ^= 1 << bit;
    }
  }
  assertEquals(fingerprintOfState(state), right);
  for (const array of [state.adapter, state.firstMoment, state.secondMoment]) {
    const first = array.slice(0, BLOCK_ELEMENTS);
    array.copyWithin(0, BLOCK_ELEMENTS, 2 * BLOCK_ELEMENTS);
    array.set(first, BLOCK_ELEMENTS);
  }
  assertNotEquals(fingerprintOfState(state), right, "two blocks in each other's place");
});

Deno.test("the module is valid, and the last block of the largest adapter, which ends at 2^32 bytes, has its sums", () => {
  assertEquals(WebAssembly.validate(KERNEL_BYTES), true);
  const elementCount = 2 ** 30;
  // One memory in place of three: only the pages that are touched exist.
  const memory = new WebAssembly.Memory({ initial: 65536, maximum: 65536, shared: true });
  const fingerprint = allocateFingerprint(elementCount);
  const kernel = fingerprintKernel({
    ...{ nextAdapter: memory, nextFirstMoment: memory, nextSecondMoment: memory, fingerprint },
  });
  const lastSums = () =>
    new BigUint64Array(fingerprint.buffer).slice(1536 + 2 * (elementCount / 1024 - 1)).slice(0, 2);
  kernel.sumBlocks(elementCount - 1024, elementCount);
  const before = lastSums();
  assertNotEquals(before, new BigUint64Array(2));
  new Uint32Array(memory.buffer)[elementCount - 1] = 7;
  kernel.sumBlocks(elementCount - 1024, elementCount);
  assertNotEquals(lastSums()[1], before[1]);
  assertEquals(lastSums()[0], before[0]);
});

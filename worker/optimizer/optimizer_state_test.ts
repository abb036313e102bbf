import { assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { pcg32 } from "../../shared/prng.ts";
import { adamwUpdate, type UpdateRequest } from "./adamw.ts";
import { copyState, digestOf, emptyState } from "./adamw_state.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { OptimizerState } from "./optimizer_state.ts";
import { Crew } from "./threads/crew.ts";
import { CHUNK_ELEMENTS, formerDigestOf } from "../../shared/protocol/state/state_digest.ts";

const layout: GradientLayout = {
  tensors: [{ name: "a", shape: [1, 64], offset: 0 }],
  elementCount: 64,
  parameterCount: 64,
};

const request: UpdateRequest = {
  sums: new Int32Array(64).fill(1000),
  exponents: Int8Array.of(-10),
  labelCount: 2,
  learningRate: 1e-2,
  updateNumber: 1,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradientNorm: 0,
};

async function initial(): Promise<OptimizerState> {
  const state = new OptimizerState(layout);
  const digest = await state.begin(new Float32Array(64).fill(1));
  assertEquals(digest, digestOf(state.view));
  return state;
}

Deno.test("an update leaves the current state as it is until the commit", async () => {
  const state = await initial();
  const before = digestOf(state.view);
  const { digest: next } = await state.update(request);
  assertEquals([digestOf(state.view), state.view.updateCount], [before, 0]);
  state.commit();
  assertEquals([digestOf(state.view), state.view.updateCount], [next, 1]);
  assertNotEquals(next, before);
  assertEquals((await state.update({ ...request, digestKind: "none" })).digest, "");
});

Deno.test("without an update, after a rollback and after an import there is nothing to commit", async () => {
  const state = await initial();
  const assertNothing = () =>
    assertEquals(assertThrows(() => state.commit(), LoraFleetError, "no update").code, "conflict");
  assertNothing();
  await state.update(request);
  state.rollback();
  assertNothing();
  const exported = state.export();
  await state.update(request);
  assertEquals(await state.import(exported), digestOf(exported));
  assertNothing();
  assertEquals(state.export(), exported);
});

Deno.test("an imported state is a copy, an exported one stays as it is through later updates and imports", async () => {
  const state = await initial();
  const exported = state.export();
  const before = digestOf(exported);
  const imported = { updateCount: 5, ...copyState(exported) };
  for (let i = 0; i < 3; i++) {
    await state.update(request);
    state.commit();
  }
  await state.import(imported);
  imported.adapter[0] = 7;
  assertEquals([state.adapter[0], state.view.updateCount], [1, 5]);
  assertEquals([digestOf(exported), exported.updateCount], [before, 0]);
});

Deno.test("a state whose former digest is the expected one is taken for it, any other is told", async () => {
  const state = await initial();
  const exported = state.export();
  const former = formerDigestOf([exported.adapter, exported.firstMoment, exported.secondMoment]);
  const digest = digestOf(exported);
  assertEquals(await state.import(exported, former), former);
  assertEquals(await state.import(exported, digest), digest);
  assertEquals(await state.import(exported, "0".repeat(64)), digest);
});

Deno.test("without an export, updates go back and forth between two memories", async () => {
  const state = await initial();
  const buffers: unknown[] = [state.adapter.buffer];
  for (let i = 0; i < 4; i++) {
    await state.update(request);
    state.commit();
    buffers.push(state.adapter.buffer);
  }
  assertEquals(new Set(buffers).size, 2);
  state.export();
  await state.update(request);
  state.commit();
  await state.update(request);
  state.commit();
  assertEquals(buffers.slice(-1)[0] === state.adapter.buffer, false);
});

Deno.test("updates have the bits of the reference, by one thread, by three, and after the helpers have died", async () => {
  const tensors = [5 * 64, 3 * CHUNK_ELEMENTS, 64, CHUNK_ELEMENTS + 64].reduce<GradientLayout["tensors"]>(
    (before, size, i) => {
      const last = before.at(-1);
      const offset = last === undefined ? 0 : last.offset + last.shape[1];
      return [...before, { name: `t${i}`, shape: [1, size], offset }];
    },
    [],
  );
  const last = tensors.at(-1)!;
  const elementCount = last.offset + last.shape[1];
  const wide: GradientLayout = { tensors, elementCount, parameterCount: elementCount };
  const prng = pcg32(3);
  const adapter = Float32Array.from({ length: elementCount }, () => prng.normal());
  const requests = [1, 2, 3].map((updateNumber): UpdateRequest => ({
    ...{ ...request, updateNumber, maxGradientNorm: 0.3, weightDecay: 0.1 },
    sums: Int32Array.from({ length: elementCount }, () => prng.uint32() | 0),
    exponents: Int8Array.of(-20, -30, -27, -24),
  }));
  const [expected, norms] = [{ ...emptyState(elementCount), adapter: adapter.slice() }, [] as number[]];
  for (const each of requests) norms.push(adamwUpdate(wide, each, expected, expected));

  const lost: string[] = [];
  const dying = new URL(`data:application/javascript,${
    encodeURIComponent(`self.onmessage = ({ data }) => {
      if (data.kind === "squares") return self.postMessage(null);
      Atomics.add(data.taken, 0, 2); // takes pieces and dies
      throw new Error("out of memory");
    };`)
  }`);
  const crews = [new Crew(1), new Crew(3), new Crew(3, (why) => lost.push(why), dying)];
  for (const crew of crews) {
    const state = new OptimizerState(wide, { crew });
    await state.begin(adapter);
    for (const [index, each] of requests.entries()) {
      const { gradientNorm, digest } = await state.update(each);
      state.commit();
      assertEquals([gradientNorm, digest], [norms[index], digestOf(state.view)]);
    }
    assertEquals(digestOf(state.view), digestOf(expected));
    state.close();
  }
  assertEquals([
    lost.length,
    /^a thread of the optimizer has ended \(.*out of memory\): its work/.test(lost[0]!),
  ], [2, true]);
});

Deno.test("arrays of the wrong length are refused", async () => {
  const state = await initial();
  const short = { ...state.export(), firstMoment: new Float32Array(3) };
  const error = await assertRejects(() => state.import(short), LoraFleetError, "firstMoment has 3 elements");
  assertEquals(error.code, "corrupt");
  await assertRejects(
    () => state.update({ ...request, sums: new Int32Array(3) }),
    RangeError,
    "3 gradient sums, the adapter has 64 elements",
  );
});

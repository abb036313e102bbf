import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import type { UpdateRequest } from "./adamw.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { OptimizerState } from "./optimizer_state.ts";

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

const initial = () => new OptimizerState(layout, new Float32Array(64).fill(1));

Deno.test("an update leaves the current state as it is until the commit", () => {
  const state = initial();
  const before = state.digest("current");
  state.update(request);
  assertEquals([state.digest("current"), state.export().updateCount], [before, 0]);
  const next = state.digest("next");
  state.commit();
  assertEquals([state.digest("current"), state.view.updateCount], [next, 1]);
  assertNotEquals(next, before);
});

Deno.test("without an update, after a rollback and after an import there is nothing to commit", () => {
  const state = initial();
  const assertNothing = () =>
    assertEquals(assertThrows(() => state.commit(), LoraFleetError, "no update").code, "conflict");
  assertNothing();
  state.update(request);
  state.rollback();
  assertNothing();
  const exported = state.export();
  state.update(request);
  state.import(exported);
  assertNothing();
  assertEquals(state.export(), exported);
});

Deno.test("an exported state is a copy, and so is an imported one", () => {
  const state = initial();
  const exported = state.export();
  state.import(exported);
  exported.adapter[0] = 7;
  assertEquals(state.adapter[0], 1);
});

Deno.test("arrays of the wrong length are refused", () => {
  const state = initial();
  const short = { ...state.export(), firstMoment: new Float32Array(3) };
  const error = assertThrows(() => state.import(short), LoraFleetError, "firstMoment has 3 elements");
  assertEquals(error.code, "corrupt");
  assertThrows(
    () => state.update({ ...request, sums: new Int32Array(3) }),
    RangeError,
    "3 gradient sums, the adapter has 64 elements",
  );
});

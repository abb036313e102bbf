import { assert, assertEquals } from "@std/assert";
import { SUBMIT_TARGET_MS, SubmitPacer, type SubmittedWork } from "./submit_pacer.ts";

/** Milliseconds per operation; a 7B model's kernels on a GPU of some years ago. */
const RATES: Record<string, number> = { nf4_matmul: 1e-10, matmul: 1.3e-10, attention: 6e-10, glu: 3e-10 };

/** The dispatches of a micro-batch: 32 layers forward, 32 backward. */
const DISPATCHES: [kernel: string, flops: number][] = Array.from({ length: 64 }, (_, layer) => {
  const factor = layer < 32 ? 1 : 2;
  return [
    ...Array.from({ length: 4 }, () => ["nf4_matmul", 7e10 * factor] as [string, number]),
    ["attention", 7e10 * factor] as [string, number],
    ...Array.from({ length: 3 }, () => ["nf4_matmul", 1.8e11 * factor] as [string, number]),
    ["glu", 3e9] as [string, number],
    ["matmul", 5e9] as [string, number],
  ];
}).flat();

const timeOf = ({ work }: SubmittedWork) =>
  [...work].reduce((sum, [kernel, flops]) => sum + flops * RATES[kernel]!, 0);

/** The true milliseconds of the submits of one micro-batch. */
function record(
  pacer: SubmitPacer,
): { readonly submits: readonly SubmittedWork[]; readonly times: number[] } {
  for (const [kernel, flops] of DISPATCHES) {
    if (pacer.isDue(kernel, flops)) pacer.submitted();
    pacer.add(kernel, flops);
  }
  pacer.submitted();
  const submits = pacer.take();
  return { submits, times: submits.map(timeOf) };
}

for (const clock of ["a clock of its own", "the time of the whole alone"]) {
  Deno.test(`submits of a GPU with ${clock} stay below 200 ms, and are few after the first micro-batch`, () => {
    const pacer = new SubmitPacer({ isCpu: false });
    const counts: number[] = [];
    for (let batch = 0; batch < 4; batch++) {
      const { submits, times } = record(pacer);
      assert(Math.max(...times) < 200, `micro-batch ${batch}: ${Math.max(...times)} ms`);
      assertEquals(times.length > 1, true);
      counts.push(submits.length);
      const total = times.reduce((sum, time) => sum + time, 0);
      if (clock === "a clock of its own") pacer.learn(submits, times);
      else pacer.learnTotal(submits, total);
      if (batch > 0) assert(submits.length < 2 * total / SUBMIT_TARGET_MS + 8, `${submits.length} submits`);
    }
    assert(counts[0]! > 2 * counts[1]!, `${counts}: an unknown GPU gets short submits first`);
  });
}

Deno.test("the first submits after a pause are short, so that the GPU starts early", () => {
  const pacer = new SubmitPacer({ isCpu: false });
  for (let batch = 0; batch < 3; batch++) {
    const { submits, times } = record(pacer);
    pacer.learn(submits, times);
  }
  const { times } = record(pacer);
  assert(times[0]! < 30 && times[0]! < times.at(-2)! / 3, `${times}`);
});

Deno.test("a submit that nobody measured teaches nothing", () => {
  const pacer = new SubmitPacer({ isCpu: false });
  const { submits, times } = record(pacer);
  const before = pacer.predict("attention", 1e12);
  pacer.learn(submits, times.map(() => null));
  pacer.learn(submits, []);
  assertEquals(pacer.predict("attention", 1e12), before);
});

Deno.test("a GPU that becomes slow, because a game has begun, gets shorter submits", () => {
  const pacer = new SubmitPacer({ isCpu: false });
  const first = record(pacer);
  pacer.learn(first.submits, first.times);
  const fast = record(pacer);
  pacer.learn(fast.submits, fast.times.map((time) => 4 * time));
  const slow = record(pacer);
  assert(slow.submits.length > 2.5 * fast.submits.length, `${fast.submits.length} → ${slow.submits.length}`);
});

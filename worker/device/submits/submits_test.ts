import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { recordingDevice } from "../testing/recording_device.ts";
import { Submits } from "./submits.ts";

/** Submits of which each has the given kernel, and the GPU's clock says how long it lasted. */
function measure(submits: Submits, milliseconds: readonly number[]): void {
  const { device } = recordingDevice();
  for (const _ of milliseconds) {
    submits.add("attention_tile_dkv[HEAD_DIM=128]", 1e9);
    submits.end(device.createCommandEncoder());
  }
  const marks = milliseconds.flatMap((duration) => [0n, BigInt(duration * 1e6)]);
  submits.learn(BigUint64Array.from(marks).buffer, 8);
}

Deno.test("a submit that a watchdog might not forgive is told once, and again when one is twice as long", () => {
  const { device } = recordingDevice();
  const notes: string[] = [];
  const submits = new Submits(device, { isCpu: false });
  submits.tell = (note) => notes.push(note);
  measure(submits, [100, 900]);
  assertEquals(notes, []);
  measure(submits, [100, 1200]);
  measure(submits, [1300, 1200]);
  assertEquals(notes.length, 1);
  assertStringIncludes(notes[0]!, "busy for 1.2 s with one piece of work (attention_tile_dkv)");
  measure(submits, [2500]);
  assertEquals(notes.length, 2);
  assertEquals(submits.stats, { count: 7, longestMs: 2500 });
});

Deno.test("after a read that failed, durations belong to the submits that came later", () => {
  const { device } = recordingDevice();
  const notes: string[] = [];
  const submits = new Submits(device, { isCpu: false });
  submits.tell = (note) => notes.push(note);
  submits.add("cross_entropy", 1e9);
  submits.end(device.createCommandEncoder());
  submits.forget(); // memory ran out
  measure(submits, [1200]);
  assertStringIncludes(notes[0]!, "(attention_tile_dkv)");
  assertEquals(submits.stats, { count: 1, longestMs: 1200 });
});

Deno.test("a first micro-batch of 200,000 submits is measured: 16,384 tokens of a 70B on a GPU of unknown speed", () => {
  const { device } = recordingDevice();
  const submits = new Submits(device, { isCpu: false });
  const encoder = device.createCommandEncoder();
  for (let n = 0; n < 200_000; n++) {
    submits.add("nf4_matmul", 2e10);
    submits.end(encoder);
  }
  submits.learn(BigUint64Array.of(0n, 7_000_000n).buffer, 8);
  assertEquals(submits.stats.count, 200_000);
  assertAlmostEquals(submits.stats.longestMs, 100, 1);
});

Deno.test("a driver that computes on the CPU has no watchdog", () => {
  const { device } = recordingDevice();
  const submits = new Submits(device, { isCpu: true });
  submits.tell = () => assert(false, "nothing is told");
  measure(submits, [5000]);
});

/** Of a 7B model's micro-batch: 300 s on the GPU that an unknown one counts as, 4 s on an RTX 3090. */
const FLOPS = 61e12;
const TRUE_MS = 4000;

const pass = { end: () => {} };
const encoder = { beginComputePass: () => pass } as unknown as GPUCommandEncoder;

/** A device that has a clock or none, and the machine's time. */
function submitsOn(features: string[]) {
  let now = 0;
  const device = { features: new Set(features), createQuerySet: () => ({}), createBuffer: () => ({}) };
  const time = { now: () => now, sleep: () => Promise.resolve() };
  const submits = new Submits(device as unknown as GPUDevice, { isCpu: false, time: time as never });
  return { submits, advance: (milliseconds: number) => now += milliseconds };
}

/** Submits a micro-batch. @returns for how long somebody looks for a loss of the device instead of waiting for results */
function submitOne(submits: Submits): number {
  submits.begin(encoder);
  submits.add("nf4_matmul", FLOPS);
  submits.end(encoder);
  return submits.busyMs;
}

Deno.test("a GPU that was never measured is waited for at once, although it counts as slow", () => {
  for (const features of [[], ["timestamp-query"]]) {
    const { submits, advance } = submitsOn(features);
    assertEquals(submits.busyMs, 0);
    assertEquals(submitOne(submits), 0);
    advance(TRUE_MS + 10);
    const marks = features.length > 0 ? [0n, BigInt(TRUE_MS) * 1_000_000n] : [];
    submits.learn(BigUint64Array.from(marks).buffer, 0);
    assertAlmostEquals(submitOne(submits), features.length > 0 ? 0.8 * TRUE_MS : 0.5 * TRUE_MS, 1);
    advance(1000);
    assertAlmostEquals(submits.busyMs, (features.length > 0 ? 0.8 : 0.5) * TRUE_MS - 1000, 1);
  }
});

Deno.test("a GPU without a clock that was slow once, while kernels were compiled, is soon known as fast", () => {
  const { submits, advance } = submitsOn([]);
  const waits: number[] = [];
  for (let batch = 0; batch < 6; batch++) {
    const busy = submitOne(submits);
    waits.push(Math.round(busy));
    advance(Math.max(busy, TRUE_MS + (batch === 0 ? 30_000 : 0)) + 10);
    submits.learn(new ArrayBuffer(0), 0);
  }
  assertEquals(waits, [0, 17_000, 8500, 4250, 2125, 2000]);
});

Deno.test("a long micro-batch after short ones, whose kernels left most of the GPU idle, is not waited for as if it were slow", () => {
  const { submits, advance } = submitsOn(["timestamp-query"]);
  // A product and what waits for memory; short micro-batches are 5 times as slow by the operation.
  const run = (share: number, slowness: number) => {
    const marks: bigint[] = [];
    for (const [kernel, flops] of [["nf4_matmul", FLOPS], ["rms_norm", FLOPS / 20]] as const) {
      submits.begin(encoder);
      submits.add(kernel, flops * share);
      submits.end(encoder);
      marks.push(0n, BigInt(Math.round(1e6 * slowness * share * TRUE_MS / 2)));
    }
    const { busyMs } = submits;
    advance(Math.max(busyMs, slowness * share * TRUE_MS));
    submits.learn(BigUint64Array.from(marks).buffer, 0);
    return busyMs;
  };
  run(1, 1);
  assertAlmostEquals(run(1, 1), 0.8 * TRUE_MS, 1);
  for (let batch = 0; batch < 3; batch++) run(0.05, 5);
  const busyMs = run(1, 1);
  assert(busyMs > 0.6 * TRUE_MS && busyMs <= 0.81 * TRUE_MS, `${busyMs} ms of ${TRUE_MS}`);
});

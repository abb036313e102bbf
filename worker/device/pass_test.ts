import { assert, assertEquals, assertThrows } from "@std/assert";
import { defineKernel } from "./kernel.ts";
import { Pass } from "./pass.ts";
import { Pipelines } from "./pipelines.ts";
import { recordingDevice } from "./testing/recording_device.ts";

const GPU = { isCpu: false, subgroupSize: 0 };

const kernel = defineKernel({
  label: "work",
  source: "",
  params: { n: "u32" },
  bindings: { y: "read_write f32" },
});

const y = { label: "y", buffer: {} as GPUBuffer, byteOffset: 0, byteLength: 1024 };

Deno.test("a long recording is submitted in parts, the first one early, and none is kept back", () => {
  const { device, submits, params } = recordingDevice();
  const pass = new Pass(device, new Pipelines(device), GPU);
  // 200 dispatches of 5 ms at the speed that is assumed of an unknown GPU
  for (let n = 0; n < 200; n++) pass.dispatch(kernel, { n, y }, [n + 1], 1e9);
  const whileRecording = submits.length;
  pass.submit();
  assertEquals(submits.map(({ dispatches }) => dispatches.length).slice(0, 6), [1, 2, 5, 10, 20, 20]);
  assert(whileRecording >= 10, `${whileRecording} submits before the end of the recording`);
  assertEquals(submits.flatMap(({ dispatches }) => dispatches.map(([x]) => x)), sequence(1, 201));
  assertEquals(params.map(([n]) => n), sequence(0, 200));
});

Deno.test("the GPU never waits for the recording: each part is submitted before the one before it is computed", () => {
  const { device, submits } = recordingDevice();
  const pass = new Pass(device, new Pipelines(device), GPU);
  for (let n = 0; n < 2000; n++) pass.dispatch(kernel, { n, y }, [1], 1e9);
  pass.submit();
  const [encodeMs, computeMs] = [0.01, 0.5]; // far slower and far faster than in truth
  let [idleMs, freeAt] = [0, submits[0]!.recordedBefore * encodeMs];
  for (const { dispatches, recordedBefore } of submits) {
    const submittedAt = recordedBefore * encodeMs;
    idleMs += Math.max(0, submittedAt - freeAt);
    freeAt = Math.max(freeAt, submittedAt) + dispatches.length * computeMs;
  }
  assertEquals(idleMs, 0);
});

Deno.test("a target of a few milliseconds cuts more, a long one less", () => {
  const counts = [10, 100, 1000].map((targetMs) => {
    const { device, submits } = recordingDevice();
    const pass = new Pass(device, new Pipelines(device), GPU, targetMs);
    for (let n = 0; n < 400; n++) pass.dispatch(kernel, { n, y }, [1], 1e9);
    pass.submit();
    return submits.length;
  });
  assertEquals(counts, [202, 24, 6]);
});

Deno.test("a kernel that states no work counts by its workgroups", () => {
  const { device, submits } = recordingDevice();
  const pass = new Pass(device, new Pipelines(device), GPU);
  for (let n = 0; n < 100; n++) pass.dispatch(kernel, { n, y }, [65535, 4]);
  pass.submit();
  assert(submits.length > 20, `${submits.length} submits`);
});

const divisible = defineKernel({
  label: "divisible",
  source: "fn main(part: vec3u) { let group = group_of(part); }",
  params: { n: "u32" },
  bindings: { y: "read_write f32" },
});

Deno.test("one dispatch that would last longer than a submit is cut, each part in a submit of its own; others are not", () => {
  const { device, submits, params } = recordingDevice();
  const pass = new Pass(device, new Pipelines(device), GPU);
  pass.dispatch(divisible, { n: 7, y }, [10, 6], 4e11); // 2 s at the speed that is assumed of an unknown GPU, 4 times what is allowed
  pass.submit();
  assertEquals(submits.map(({ dispatches }) => dispatches), sequence(0, 6).map(() => [[10, 1, 1] as const]));
  assertEquals(params.map((words) => [...words.subarray(0, 3)]), sequence(0, 6).map((line) => [7, 0, line]));
  pass.dispatch(divisible, { n: 8, y }, [10, 6], 1e9);
  pass.dispatch(kernel, { n: 9, y }, [10, 6], 4e11);
  pass.submit();
  assertEquals(submits.slice(6).map(({ dispatches }) => dispatches), [[[10, 6, 1]], [[10, 6, 1]]]);
  assertEquals([...params[6]!.subarray(0, 3)], [8, 0, 0]);
});

Deno.test("a grid beyond the device's limit is dispatched in parts, or refused where its kernel cannot be divided", () => {
  const { device, submits } = recordingDevice();
  const pass = new Pass(device, new Pipelines(device), GPU);
  pass.dispatch(divisible, { n: 0, y }, [70_000], 1);
  pass.submit();
  assertEquals(submits.map(({ dispatches }) => dispatches), [[[65_535, 1, 1], [4465, 1, 1]]]);
  assertThrows(
    () => pass.dispatch(kernel, { n: 0, y }, [70_000]),
    RangeError,
    "dispatching work: 70000×1×1 workgroups, the device takes 65535 per dimension",
  );
});

const sequence = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

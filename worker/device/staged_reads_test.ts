import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ReadbackParts } from "./readback.ts";
import { StagedReads } from "./staged_reads.ts";
import type { GpuTensor } from "./tensor.ts";

/** Buffers in main memory; what is done to them is told in order. */
class FakeDevice {
  readonly log: string[] = [];
  readonly contents = new Map<unknown, Uint8Array>();
  readonly staging: GPUBuffer[] = [];
  /** The number of the mapping that fails. */
  failing = 0;
  #mappings = 0;

  tensor(label: string, values: Uint8Array): GpuTensor {
    const buffer = {} as GPUBuffer;
    this.contents.set(buffer, values);
    return { label, buffer, byteOffset: 0, byteLength: values.length };
  }

  readonly queue = { submit: () => void this.log.push("submit") };

  createCommandEncoder() {
    return {
      copyBufferToBuffer: (from: GPUBuffer, at: number, to: GPUBuffer, toAt: number, length: number) => {
        this.contents.get(to)!.set(this.contents.get(from)!.subarray(at, at + length), toAt);
      },
      finish: () => ({}),
    };
  }

  createBuffer({ size }: { size: number }) {
    const bytes = new Uint8Array(size);
    const name = this.staging.length;
    let isMapped = false;
    const buffer = {
      size,
      mapAsync: () => {
        this.log.push(`map ${name}`);
        isMapped = true;
        return ++this.#mappings === this.failing ? Promise.reject(new Error("lost")) : Promise.resolve();
      },
      getMappedRange: (at: number, length: number) => {
        assert(isMapped && at % 8 === 0 && length % 4 === 0 && at + length <= size);
        this.log.push(`range ${name}`);
        return bytes.slice(at, at + length).buffer;
      },
      unmap: () => isMapped = false,
      destroy: () => this.log.push(`destroy ${name}`),
    } as unknown as GPUBuffer;
    this.contents.set(buffer, bytes);
    this.staging.push(buffer);
    return buffer;
  }
}

function partsOf(device: FakeDevice, learnt: number[] = []): ReadbackParts {
  let measuredBytes = 16;
  return {
    device: device as unknown as GPUDevice,
    submits: {
      ...{ busyMs: 0, mostMeasuredBytes: 64 },
      get measuredBytes() {
        return measuredBytes;
      },
      resolve: (_, target) => {
        device.contents.get(target)!.set(new Uint8Array(measuredBytes).fill(7), 0);
        measuredBytes = 0;
      },
      learn: (measured) => learnt.push(...new Uint8Array(measured)),
      forget: () => device.log.push("forget"),
    },
    errors: { isLost: false },
    check: () => Promise.resolve(),
    failureOf: (thrown, attempt) => Promise.resolve(new Error(`${attempt}: ${(thrown as Error).message}`)),
    watch: null,
  };
}

const numbers = (count: number, first: number) => Uint8Array.from({ length: count }, (_, i) => first + i);

Deno.test("tensors come in pieces through two buffers that stay; the next piece is on its way before the last is taken", async () => {
  const device = new FakeDevice();
  const tensors = [device.tensor("a", numbers(300, 0)), device.tensor("b", numbers(468, 44))];
  const reads = new StagedReads(device as unknown as GPUDevice, 256);
  const learnt: number[] = [];
  const target = new Uint8Array(768);
  await reads.read(partsOf(device, learnt), tensors, target);
  const expected = Uint8Array.of(...numbers(300, 0), ...numbers(468, 44));
  assertEquals(target, expected);
  // Timestamps come with the first piece, and once.
  assertEquals(learnt, new Array(16).fill(7));
  assertEquals(device.log.filter((line) => !line.startsWith("destroy")), [
    ...["submit", "map 0", "range 0"], // its timestamps
    ...["submit", "map 1", "range 0", "submit", "map 0", "range 1", "range 0"],
  ]);
  const again = new Uint8Array(768);
  await reads.read(partsOf(device), tensors, again);
  assertEquals([again, device.staging.length], [expected, 2]);
  reads.close();
  assertEquals(device.log.slice(-2), ["destroy 0", "destroy 1"]);
});

Deno.test("what fits one piece takes one buffer of its size; nothing takes none", async () => {
  const device = new FakeDevice();
  const reads = new StagedReads(device as unknown as GPUDevice, 256);
  await reads.read(partsOf(device), [], new Uint8Array(0));
  assertEquals(device.staging, []);
  const target = new Uint8Array(128);
  await reads.read(partsOf(device), [device.tensor("a", numbers(128, 3))], target);
  assertEquals([target, device.staging.map(({ size }) => size)], [numbers(128, 3), [128 + 64]]);
});

Deno.test("a device that is lost in mid-reading: the error names the tensors, and the buffers are not used again", async () => {
  for (const failing of [1, 2, 3]) {
    const device = new FakeDevice();
    device.failing = failing;
    const reads = new StagedReads(device as unknown as GPUDevice, 256);
    const tensors = [device.tensor("sums", numbers(768, 0))];
    const read = () => reads.read(partsOf(device), tensors, new Uint8Array(768));
    await assertRejects(read, Error, 'Computing "sums": lost');
    const before = device.staging.length;
    assertEquals(device.log.filter((line) => line.startsWith("destroy")).length, before);
    assert(device.log.includes("forget"));
    await read();
    assertEquals(device.staging.length, before + 2);
  }
});

Deno.test("a reading tells how far it is after each piece; a second one leaves what was told of as it has become", async () => {
  const device = new FakeDevice();
  const tensors = [device.tensor("sums", numbers(768, 1))];
  const reads = new StagedReads(device as unknown as GPUDevice, 256);
  const target = new Uint8Array(768);
  const told: [byteLength: number, last: number | undefined, next: number | undefined][] = [];
  const progress = {
    bytesThere: 0,
    reach: (byteLength: number) => {
      told.push([byteLength, target[byteLength - 1], target[byteLength]]);
      progress.bytesThere = byteLength;
    },
  };
  device.failing = 3;
  const read = () => reads.read(partsOf(device), tensors, target, progress);
  await assertRejects(read, Error, "lost");
  const expected = numbers(768, 1);
  assertEquals(told, [[256, expected[255], 0], [512, expected[511], 0]].slice(0, told.length));
  assert(told.length > 0);
  const known = told.length * 256;
  target.fill(99, 0, known); // a round's result
  await read();
  assertEquals(target.subarray(0, known), new Uint8Array(known).fill(99));
  assertEquals(target.subarray(known), expected.subarray(known));
  assertEquals(told.map(([byteLength]) => byteLength), [256, 512, 768]);
});

Deno.test("a reading that was told of half a piece writes the other half", async () => {
  const device = new FakeDevice();
  const reads = new StagedReads(device as unknown as GPUDevice, 256);
  const target = new Uint8Array(512);
  const ends: number[] = [];
  const progress = { bytesThere: 300, reach: (end: number) => ends.push(end) };
  await reads.read(partsOf(device), [device.tensor("sums", numbers(512, 1))], target, progress);
  assertEquals(target, Uint8Array.of(...new Uint8Array(300), ...numbers(512, 1).subarray(300)));
  assertEquals(ends, [512]);
});

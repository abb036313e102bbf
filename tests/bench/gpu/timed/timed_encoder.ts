/** An encoder that records for a real and a fake device, with each dispatch in a pass of its own that is timed. */
import type { FakeBuffer } from "../../../lens/fake_gpu/fake_buffer.ts";
import type { FakeCommandEncoder } from "../../../lens/fake_gpu/fake_encoder.ts";
import type { Stopwatch } from "./stopwatch.ts";
import type { Twins } from "./twins.ts";

type FakePass = ReturnType<FakeCommandEncoder["beginComputePass"]>;

export class TimedEncoder {
  readonly #real: GPUCommandEncoder;
  readonly #fake: FakeCommandEncoder;
  readonly #watch: Stopwatch;
  readonly #twins: Twins;

  constructor(real: GPUCommandEncoder, fake: FakeCommandEncoder, watch: Stopwatch, twins: Twins) {
    this.#real = real;
    this.#fake = fake;
    this.#watch = watch;
    this.#twins = twins;
  }

  /** One that has timestamps of its own stays as it is. */
  beginComputePass(descriptor?: GPUComputePassDescriptor): GPUComputePassEncoder {
    if (descriptor?.timestampWrites !== undefined) return this.#real.beginComputePass(descriptor);
    const pass = new TimedPass(this.#real, this.#fake.beginComputePass(), this.#watch, this.#twins);
    return pass as unknown as GPUComputePassEncoder;
  }

  copyBufferToBuffer(from: GPUBuffer, fromAt: number, to: GPUBuffer, toAt: number, byteLength: number): void {
    this.#real.copyBufferToBuffer(from, fromAt, to, toAt, byteLength);
    this.#fake.copyBufferToBuffer(this.#twinOf(from), fromAt, this.#twinOf(to), toAt, byteLength);
  }

  clearBuffer(buffer: GPUBuffer, offset?: number, byteLength?: number): void {
    this.#real.clearBuffer(buffer, offset, byteLength);
    this.#fake.clearBuffer(this.#twinOf(buffer), offset, byteLength);
  }

  resolveQuerySet(...args: Parameters<GPUCommandEncoder["resolveQuerySet"]>): void {
    this.#real.resolveQuerySet(...args);
  }

  finish(): GPUCommandBuffer {
    const finished = this.#real.finish();
    this.#twins.set(finished, this.#fake.finish());
    return finished;
  }

  #twinOf(buffer: GPUBuffer): FakeBuffer {
    return this.#twins.get(buffer) as FakeBuffer;
  }
}

class TimedPass {
  readonly #encoder: GPUCommandEncoder;
  readonly #fake: FakePass;
  readonly #watch: Stopwatch;
  readonly #twins: Twins;
  #pipeline: GPUComputePipeline | null = null;
  readonly #groups = new Map<number, readonly [GPUBindGroup, number[]]>();

  constructor(encoder: GPUCommandEncoder, fake: FakePass, watch: Stopwatch, twins: Twins) {
    this.#encoder = encoder;
    this.#fake = fake;
    this.#watch = watch;
    this.#twins = twins;
  }

  setPipeline(pipeline: GPUComputePipeline): void {
    this.#pipeline = pipeline;
    this.#fake.setPipeline(this.#twins.get(pipeline) as Parameters<FakePass["setPipeline"]>[0]);
  }

  setBindGroup(index: number, group: GPUBindGroup, offsets: number[] = []): void {
    this.#groups.set(index, [group, offsets]);
    this.#fake.setBindGroup(
      index,
      this.#twins.get(group) as Parameters<FakePass["setBindGroup"]>[1],
      offsets,
    );
  }

  dispatchWorkgroups(x: number, y = 1, z = 1): void {
    const pass = this.#encoder.beginComputePass({ timestampWrites: this.#watch.next() });
    pass.setPipeline(this.#pipeline!);
    for (const [index, [group, offsets]] of this.#groups) pass.setBindGroup(index, group, offsets);
    pass.dispatchWorkgroups(x, y, z);
    pass.end();
    this.#fake.dispatchWorkgroups(x, y, z);
  }

  end(): void {
    this.#fake.end();
  }
}

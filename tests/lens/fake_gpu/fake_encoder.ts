/** Command encoders that only take down what is recorded. */
import type { FakeBuffer } from "./fake_buffer.ts";
import type { Program, RecordedMove } from "./recorded.ts";

/** A bind group: for each binding its buffer and range. */
export interface FakeBindGroup {
  readonly entries: readonly {
    readonly buffer: FakeBuffer;
    readonly offset: number;
    readonly byteLength: number;
  }[];
}

export interface FakeQuerySet {
  readonly times: BigUint64Array<ArrayBuffer>;
  destroy(): void;
}

/** A dispatch before its submit: its params lie in a buffer that is written until then. */
export interface PendingDispatch {
  readonly kind: "pending";
  readonly program: Program;
  readonly params: FakeBindGroup;
  readonly paramsOffset: number;
  readonly tensors: FakeBindGroup;
  readonly groups: readonly [number, number, number];
}

/** The GPU's clock at its place among the commands. */
export interface PendingMark {
  readonly kind: "mark";
  readonly times: BigUint64Array;
  readonly index: number;
}

export type PendingCommand = PendingDispatch | PendingMark | RecordedMove;

export class FakeCommandEncoder {
  readonly commands: PendingCommand[] = [];

  beginComputePass({ timestampWrites }: GPUComputePassDescriptor = {}): FakeComputePass {
    const { querySet, endOfPassWriteIndex: index } = timestampWrites ?? {};
    if (index !== undefined) {
      const { times } = querySet as unknown as FakeQuerySet;
      this.commands.push({ kind: "mark", times, index });
    }
    return new FakeComputePass(this.commands);
  }

  /** At once: what is resolved was submitted before. */
  resolveQuerySet(
    { times }: FakeQuerySet,
    first: number,
    count: number,
    to: FakeBuffer,
    offset: number,
  ): void {
    to.write(offset, new Uint8Array(times.slice(first, first + count).buffer));
  }

  copyBufferToBuffer(
    from: FakeBuffer,
    fromOffset: number,
    to: FakeBuffer,
    toOffset: number,
    byteLength: number,
  ): void {
    // What was written by the host alone travels along; a kernel's results are not known.
    const isWhole = from.size === to.size && fromOffset === 0 && toOffset === 0 && from.size <= 4096;
    const isTimes = (from.usage & GPUBufferUsage.QUERY_RESOLVE) !== 0;
    if (isWhole || isTimes) {
      to.write(toOffset, new Uint8Array(from.words(fromOffset, byteLength).slice().buffer));
    }
    this.commands.push({ kind: "copy", label: `${from.label} → ${to.label}`, byteLength });
  }

  clearBuffer(buffer: FakeBuffer, offset = 0, byteLength = buffer.size - offset): void {
    this.commands.push({ kind: "clear", label: buffer.label, byteLength });
  }

  finish(): PendingCommand[] {
    return this.commands;
  }
}

class FakeComputePass {
  readonly #commands: PendingCommand[];
  #program: Program | null = null;
  #params: FakeBindGroup | null = null;
  #paramsOffset = 0;
  #tensors: FakeBindGroup | null = null;

  constructor(commands: PendingCommand[]) {
    this.#commands = commands;
  }

  setPipeline(pipeline: { readonly program: Program }): void {
    this.#program = pipeline.program;
  }

  setBindGroup(index: number, group: FakeBindGroup, offsets: readonly number[] = []): void {
    if (index === 0) [this.#params, this.#paramsOffset] = [group, offsets[0] ?? 0];
    else this.#tensors = group;
  }

  dispatchWorkgroups(x: number, y = 1, z = 1): void {
    this.#commands.push({
      kind: "pending",
      program: this.#program!,
      params: this.#params!,
      paramsOffset: this.#paramsOffset,
      tensors: this.#tensors!,
      groups: [x, y, z],
    });
  }

  end(): void {}
}

/** Command encoders that only take down what is recorded. */
import type { FakeBuffer } from "./fake_buffer.ts";
import type { Program } from "./recorded.ts";

/** A bind group: for each binding its buffer and range. */
export interface FakeBindGroup {
  readonly entries: readonly {
    readonly buffer: FakeBuffer;
    readonly offset: number;
    readonly byteLength: number;
  }[];
}

/** Nanoseconds of the device's clock, by index. */
export interface FakeQuerySet {
  readonly nanoseconds: BigUint64Array<ArrayBuffer>;
}

export interface PendingDispatch {
  readonly kind: "dispatch";
  readonly program: Program;
  readonly params: FakeBindGroup;
  readonly paramsOffset: number;
  readonly tensors: FakeBindGroup;
  readonly groups: readonly [number, number, number];
}

/** A command before its submit: not before then are params and indices in their buffers. */
export type PendingCommand =
  | PendingDispatch
  | {
    readonly kind: "copy";
    readonly from: FakeBuffer;
    readonly fromOffset: number;
    readonly to: FakeBuffer;
    readonly toOffset: number;
    readonly byteLength: number;
  }
  | {
    readonly kind: "clear";
    readonly buffer: FakeBuffer;
    readonly offset: number;
    readonly byteLength: number;
  }
  | { readonly kind: "timestamp"; readonly querySet: FakeQuerySet; readonly index: number }
  | {
    readonly kind: "resolve";
    readonly querySet: FakeQuerySet;
    readonly first: number;
    readonly count: number;
    readonly buffer: FakeBuffer;
    readonly offset: number;
  };

export class FakeCommandEncoder {
  readonly commands: PendingCommand[] = [];

  beginComputePass({ timestampWrites }: GPUComputePassDescriptor = {}): FakeComputePass {
    return new FakeComputePass(this.commands, timestampWrites ?? null);
  }

  copyBufferToBuffer(
    from: FakeBuffer,
    fromOffset: number,
    to: FakeBuffer,
    toOffset: number,
    byteLength: number,
  ): void {
    this.commands.push({ kind: "copy", from, fromOffset, to, toOffset, byteLength });
  }

  clearBuffer(buffer: FakeBuffer, offset = 0, byteLength = buffer.size - offset): void {
    this.commands.push({ kind: "clear", buffer, offset, byteLength });
  }

  resolveQuerySet(
    querySet: FakeQuerySet,
    first: number,
    count: number,
    buffer: FakeBuffer,
    offset: number,
  ): void {
    this.commands.push({ kind: "resolve", querySet, first, count, buffer, offset });
  }

  finish(): PendingCommand[] {
    return this.commands;
  }
}

class FakeComputePass {
  readonly #commands: PendingCommand[];
  readonly #timestamps: GPUComputePassTimestampWrites | null;
  #program: Program | null = null;
  #params: FakeBindGroup | null = null;
  #paramsOffset = 0;
  #tensors: FakeBindGroup | null = null;

  constructor(commands: PendingCommand[], timestamps: GPUComputePassTimestampWrites | null) {
    this.#commands = commands;
    this.#timestamps = timestamps;
    this.#mark(timestamps?.beginningOfPassWriteIndex);
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
      kind: "dispatch",
      program: this.#program!,
      params: this.#params!,
      paramsOffset: this.#paramsOffset,
      tensors: this.#tensors!,
      groups: [x, y, z],
    });
  }

  end(): void {
    this.#mark(this.#timestamps?.endOfPassWriteIndex);
  }

  #mark(index: number | undefined): void {
    if (index === undefined) return;
    const querySet = this.#timestamps!.querySet as unknown as FakeQuerySet;
    this.#commands.push({ kind: "timestamp", querySet, index });
  }
}

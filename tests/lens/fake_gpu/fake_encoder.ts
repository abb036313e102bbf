/** Command encoders that only take down what is recorded. */
import type { FakeLayout } from "./fake_binding.ts";
import type { FakeBuffer } from "./fake_buffer.ts";
import { recordProblems } from "./fake_checks.ts";
import type { Program } from "./recorded.ts";

/** A bind group: for each binding its buffer and range. */
export interface FakeBindGroup {
  readonly layout: FakeLayout;
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
  readonly #refuse: (problem: string) => void;
  #isInPass = false;
  #isFinished = false;

  /** @param refuse gets what a real encoder's commands would be invalid for */
  constructor(refuse: (problem: string) => void) {
    this.#refuse = refuse;
  }

  beginComputePass({ timestampWrites }: GPUComputePassDescriptor = {}): FakeComputePass {
    this.#assertOpen("a compute pass");
    this.#isInPass = true;
    const add = (command: PendingCommand) => {
      if (!this.#isInPass) this.#refuse(`${command.kind} after the end of its pass`);
      this.#add(command);
    };
    return new FakeComputePass(add, timestampWrites ?? null, () => this.#isInPass = false, this.#refuse);
  }

  copyBufferToBuffer(
    from: FakeBuffer,
    fromOffset: number,
    to: FakeBuffer,
    toOffset: number,
    byteLength: number,
  ): void {
    this.#assertOpen("a copy");
    this.#add({ kind: "copy", from, fromOffset, to, toOffset, byteLength });
  }

  clearBuffer(buffer: FakeBuffer, offset = 0, byteLength = buffer.size - offset): void {
    this.#assertOpen("a clear");
    this.#add({ kind: "clear", buffer, offset, byteLength });
  }

  resolveQuerySet(
    querySet: FakeQuerySet,
    first: number,
    count: number,
    buffer: FakeBuffer,
    offset: number,
  ): void {
    this.#assertOpen("a resolve");
    this.#add({ kind: "resolve", querySet, first, count, buffer, offset });
  }

  finish(): PendingCommand[] {
    this.#assertOpen("the end");
    this.#isFinished = true;
    return this.commands;
  }

  #add(command: PendingCommand): void {
    for (const problem of recordProblems(command)) this.#refuse(problem);
    this.commands.push(command);
  }

  #assertOpen(what: string): void {
    if (this.#isInPass) this.#refuse(`${what} within a compute pass`);
    if (this.#isFinished) this.#refuse(`${what} after the encoder was finished`);
  }
}

class FakeComputePass {
  readonly #add: (command: PendingCommand) => void;
  readonly #onEnd: () => void;
  readonly #refuse: (problem: string) => void;
  readonly #timestamps: GPUComputePassTimestampWrites | null;
  #program: Program | null = null;
  #params: FakeBindGroup | null = null;
  #paramsOffset = 0;
  #tensors: FakeBindGroup | null = null;

  constructor(
    add: (command: PendingCommand) => void,
    timestamps: GPUComputePassTimestampWrites | null,
    onEnd: () => void,
    refuse: (problem: string) => void,
  ) {
    this.#add = add;
    this.#onEnd = onEnd;
    this.#refuse = refuse;
    this.#timestamps = timestamps;
    this.#mark(timestamps?.beginningOfPassWriteIndex);
  }

  setPipeline(pipeline: { readonly program: Program }): void {
    this.#program = pipeline.program;
  }

  setBindGroup(index: number, group: FakeBindGroup, offsets: readonly number[] = []): void {
    const dynamic = group.layout.isDynamic.filter(Boolean).length;
    if (offsets.length !== dynamic) {
      this.#refuse(`${offsets.length} dynamic offsets; the layout has ${dynamic}`);
    }
    if (index === 0) [this.#params, this.#paramsOffset] = [group, offsets[0] ?? 0];
    else this.#tensors = group;
  }

  dispatchWorkgroups(x: number, y = 1, z = 1): void {
    if (this.#program === null || this.#params === null || this.#tensors === null) {
      return this.#refuse("a dispatch without pipeline or bind groups");
    }
    this.#add({
      kind: "dispatch",
      program: this.#program,
      params: this.#params,
      paramsOffset: this.#paramsOffset,
      tensors: this.#tensors,
      groups: [x, y, z],
    });
  }

  end(): void {
    this.#mark(this.#timestamps?.endOfPassWriteIndex);
    this.#onEnd();
  }

  #mark(index: number | undefined): void {
    if (index === undefined) return;
    const querySet = this.#timestamps!.querySet as unknown as FakeQuerySet;
    this.#add({ kind: "timestamp", querySet, index });
  }
}

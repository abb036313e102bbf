/** Executes what needs no kernel: copies of small buffers, and a clock that advances as the commands are said to take. */
import type { PendingCommand, PendingDispatch } from "./fake_encoder.ts";
import type { RecordedCommand, RecordedDispatch } from "./recorded.ts";

/** Seconds that a command takes. */
export type SecondsOf = (command: RecordedCommand) => number;

export class FakeQueue {
  readonly #secondsOf: SecondsOf;
  #nanoseconds = 1;

  constructor(secondsOf: SecondsOf) {
    this.#secondsOf = secondsOf;
  }

  /** Executes the commands of a submit. @returns those that a GPU works for */
  execute(pending: readonly PendingCommand[]): RecordedCommand[] {
    const recorded: RecordedCommand[] = [];
    for (const command of pending) {
      const work = this.#executeOne(command);
      if (work === null) continue;
      recorded.push(work);
      this.#nanoseconds += 1e9 * this.#secondsOf(work);
    }
    return recorded;
  }

  #executeOne(command: PendingCommand): RecordedCommand | null {
    switch (command.kind) {
      case "dispatch":
        return decodeDispatch(command);
      case "copy": {
        copyBytes(command);
        const { from, to, byteLength } = command;
        return { kind: "copy", label: `${from.label} → ${to.label}`, byteLength };
      }
      case "clear": {
        const { buffer, offset, byteLength } = command;
        if (buffer.keepsContents) buffer.write(offset, new Uint8Array(byteLength));
        return { kind: "clear", label: buffer.label, byteLength };
      }
      case "timestamp":
        command.querySet.nanoseconds[command.index] = BigInt(Math.round(this.#nanoseconds));
        return null;
      case "resolve": {
        const { querySet: { nanoseconds }, first, count, buffer, offset } = command;
        buffer.write(offset, new Uint8Array(nanoseconds.buffer, 8 * first, 8 * count));
        return null;
      }
    }
  }
}

/** What the host or the clock wrote travels along; a kernel's results are not known. */
function copyBytes({ from, fromOffset, to, toOffset, byteLength }: PendingCommand & { kind: "copy" }): void {
  if (!from.keepsContents || !to.keepsContents) return;
  const words = from.words(fromOffset, byteLength);
  to.write(toOffset, new Uint8Array(words.buffer, words.byteOffset, words.byteLength).slice());
}

/** Reads a dispatch's params and names its tensors. */
function decodeDispatch(
  { program, params, paramsOffset, tensors, groups }: PendingDispatch,
): RecordedDispatch {
  const [uniform] = params.entries;
  const words = uniform!.buffer.words(uniform!.offset + paramsOffset, 4 * program.params.length);
  const view = new DataView(words.buffer, words.byteOffset, words.byteLength);
  const valueAt = (index: number, type: string) =>
    type === "f32"
      ? view.getFloat32(4 * index, true)
      : type === "i32"
      ? view.getInt32(4 * index, true)
      : view.getUint32(4 * index, true);
  const { kernel, constants, groupSize } = program;
  return {
    kind: "dispatch",
    kernel,
    constants,
    params: Object.fromEntries(program.params.map(({ name, type }, i) => [name, valueAt(i, type)])),
    bindings: Object.fromEntries(
      program.bindings.map(({ name, access }, i) => [name, { ...tensors.entries[i]!, access }]),
    ),
    groups,
    groupSize,
    program,
  };
}

/** Reads a dispatch's params and names its tensors, at its submit: not before then are its params in their buffer. */
import type { PendingCommand, PendingMark } from "./fake_encoder.ts";
import type { RecordedCommand } from "./recorded.ts";

export function decodeCommand(command: Exclude<PendingCommand, PendingMark>): RecordedCommand {
  if (command.kind !== "pending") return command;
  const { program, params: { entries: [uniform] }, paramsOffset, tensors, groups } = command;
  const words = uniform!.buffer.words(uniform!.offset + paramsOffset, 4 * program.params.length);
  const view = new DataView(words.buffer, words.byteOffset, words.byteLength);
  const valueAt = (index: number, type: string) =>
    type === "f32"
      ? view.getFloat32(4 * index, true)
      : type === "i32"
      ? view.getInt32(4 * index, true)
      : view.getUint32(4 * index, true);
  const params = Object.fromEntries(program.params.map(({ name, type }, i) => [name, valueAt(i, type)]));
  const bindings = Object.fromEntries(
    program.bindings.map(({ name, access }, i) => [name, { ...tensors.entries[i]!, access }]),
  );
  const { kernel, constants, groupSize } = program;
  return { kind: "dispatch", kernel, constants, params, bindings, groups, groupSize, program };
}

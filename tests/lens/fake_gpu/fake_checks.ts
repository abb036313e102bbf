/**
 * What WebGPU's validation refuses of buffers, copies and mappings (W3C WebGPU, "Buffers", "Copies", "Queues"), as sentences. Bind
 * groups are in fake_binding.ts.
 */
import type { FakeBuffer } from "./fake_buffer.ts";
import type { PendingCommand } from "./fake_encoder.ts";

/** Entries of a query set. */
const MAX_QUERIES = 4096;
/** Of a buffer's offset to which queries are resolved. */
const QUERY_RESOLVE_ALIGNMENT = 256;

const USAGES = [
  "MAP_READ",
  "MAP_WRITE",
  "COPY_SRC",
  "COPY_DST",
  "UNIFORM",
  "STORAGE",
  "QUERY_RESOLVE",
] as const;
type Usage = typeof USAGES[number];

/** @returns null if `buffer` has the usage */
export function usageProblem(
  { label, usage }: Pick<FakeBuffer, "label" | "usage">,
  needed: Usage,
): string | null {
  if ((usage & GPUBufferUsage[needed]) !== 0) return null;
  const has = USAGES.filter((name) => (usage & GPUBufferUsage[name]) !== 0);
  return `"${label}" needs the usage ${needed}; it has ${has.join(", ") || "none"}`;
}

export function bufferProblems({ label = "", size, usage }: GPUBufferDescriptor, maxSize: number): string[] {
  const { MAP_READ, MAP_WRITE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const onlyWith = (map: number, other: number) => (usage & map) !== 0 && (usage & ~(map | other)) !== 0;
  const name = `buffer "${label}"`;
  return [
    ...size > maxSize ? [`${name} of ${size} bytes exceeds ${maxSize}`] : [],
    ...usage === 0 ? [`${name} has no usage`] : [],
    ...onlyWith(MAP_READ, COPY_DST) ? [`${name} has MAP_READ with more than COPY_DST`] : [],
    ...onlyWith(MAP_WRITE, COPY_SRC) ? [`${name} has MAP_WRITE with more than COPY_SRC`] : [],
  ];
}

/** Of a range that is copied, cleared or written: whole words within the buffer. */
export function rangeProblems(
  what: string,
  buffer: FakeBuffer,
  offset: number,
  byteLength: number,
): string[] {
  const { label, size } = buffer;
  return [
    ...offset % 4 === 0 && byteLength % 4 === 0 && byteLength >= 0
      ? []
      : [`${what} ${byteLength} bytes at ${offset} of "${label}": no whole words`],
    ...offset + byteLength <= size
      ? []
      : [`${what} ${byteLength} bytes at ${offset} of "${label}", which has ${size}`],
  ];
}

export function writeProblems(buffer: FakeBuffer, offset: number, byteLength: number): string[] {
  return [
    ...[usageProblem(buffer, "COPY_DST")].filter((problem) => problem !== null),
    ...rangeProblems("writing", buffer, offset, byteLength),
    ...unusable([buffer]),
  ];
}

/** Of a command, when it is recorded. */
export function recordProblems(command: PendingCommand): string[] {
  const problems = (...usages: (string | null)[]) => usages.filter((problem) => problem !== null);
  switch (command.kind) {
    case "copy": {
      const { from, fromOffset, to, toOffset, byteLength } = command;
      return [
        ...problems(usageProblem(from, "COPY_SRC"), usageProblem(to, "COPY_DST")),
        ...from === to ? [`copying from "${from.label}" to itself`] : [],
        ...rangeProblems("copying", from, fromOffset, byteLength),
        ...rangeProblems("copying", to, toOffset, byteLength),
      ];
    }
    case "clear": {
      const { buffer, offset, byteLength } = command;
      return [
        ...problems(usageProblem(buffer, "COPY_DST")),
        ...rangeProblems("clearing", buffer, offset, byteLength),
      ];
    }
    case "timestamp":
      return queryProblems(command.querySet.nanoseconds.length, command.index, 1);
    case "resolve": {
      const { querySet, first, count, buffer, offset } = command;
      return [
        ...problems(usageProblem(buffer, "QUERY_RESOLVE")),
        ...queryProblems(querySet.nanoseconds.length, first, count),
        ...offset % QUERY_RESOLVE_ALIGNMENT === 0
          ? []
          : [`resolving queries at ${offset} of "${buffer.label}"`],
        ...rangeProblems("resolving", buffer, offset, 8 * count),
      ];
    }
    case "dispatch":
      return [];
  }
}

function queryProblems(length: number, first: number, count: number): string[] {
  return first + count <= length ? [] : [`queries ${first} to ${first + count - 1} of a set of ${length}`];
}

export function querySetProblems(count: number): string[] {
  return count <= MAX_QUERIES ? [] : [`a query set of ${count} entries; ${MAX_QUERIES} are allowed`];
}

/** Of a command's buffers, at its submit. */
export function submitProblems(command: PendingCommand): string[] {
  switch (command.kind) {
    case "copy":
      return unusable([command.from, command.to]);
    case "dispatch":
      return unusable([...command.params.entries, ...command.tensors.entries].map(({ buffer }) => buffer));
    case "clear":
    case "resolve":
      return unusable([command.buffer]);
    case "timestamp":
      return [];
  }
}

function unusable(buffers: readonly FakeBuffer[]): string[] {
  return buffers.flatMap(({ label, isDestroyed, isMapped }) => [
    ...isDestroyed ? [`"${label}" is used after it was destroyed`] : [],
    ...isMapped ? [`"${label}" is used while it is mapped`] : [],
  ]);
}

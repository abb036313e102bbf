/** What a fake device saw: the commands of each submit, in order. */
import type { FakeBuffer } from "./fake_buffer.ts";
import { bytesOf, WgslConstants, workgroupBytes, workgroupSize } from "./program_sizes.ts";

/** A tensor that a dispatch binds. */
export interface Bound {
  readonly buffer: FakeBuffer;
  readonly offset: number;
  readonly byteLength: number;
  readonly access: "read" | "read_write";
}

export interface RecordedDispatch {
  readonly kind: "dispatch";
  /** The kernel's label without its constants. */
  readonly kernel: string;
  /** Of the kernel's variant, by name. */
  readonly constants: Readonly<Record<string, number>>;
  readonly params: Readonly<Record<string, number>>;
  readonly bindings: Readonly<Record<string, Bound>>;
  readonly groups: readonly [x: number, y: number, z: number];
  /** Invocations of a workgroup. */
  readonly groupSize: number;
  /** The whole kernel. */
  readonly program: Program;
}

export interface RecordedMove {
  readonly kind: "copy" | "clear";
  readonly label: string;
  readonly byteLength: number;
}

export type RecordedCommand = RecordedDispatch | RecordedMove;

/** A kernel as its WGSL declares it. */
export interface Program {
  readonly label: string;
  readonly kernel: string;
  readonly wgsl: string;
  readonly constants: Readonly<Record<string, number>>;
  readonly params: readonly { readonly name: string; readonly type: string }[];
  readonly bindings: readonly {
    readonly name: string;
    readonly access: Bound["access"];
    /** Of the array that it is. */
    readonly elementBytes: number;
  }[];
  readonly workgroup: readonly [x: number, y: number, z: number];
  /** Invocations of a workgroup. */
  readonly groupSize: number;
  readonly workgroupBytes: number;
}

/** Reads what `defineKernel` wrote (worker/device/kernel.ts). */
export function parseProgram(label: string, wgsl: string): Program {
  const [, kernel = label, variant = ""] = /^([^[]*)(?:\[(.*)\])?$/.exec(label) ?? [];
  const constants = Object.fromEntries(
    variant.split(",").filter((text) => text !== "").map((text) => {
      const [name = "", value = ""] = text.split("=");
      return [name, value === "true" ? 1 : value === "false" ? 0 : Number(value)];
    }),
  );
  const struct = /^struct Params \{\n([\s\S]*?)^\}/m.exec(wgsl)?.[1] ?? "";
  const params = [...struct.matchAll(/^\s*(\w+): (\w+),$/gm)].map(([, name, type]) => ({
    name: name!,
    type: type!,
  }));
  const bindings = [
    ...wgsl.matchAll(/^@group\(1\) @binding\(\d+\) var<storage, (read|read_write)> (\w+): array<(.*)>;/gm),
  ].map(([, access, name, element]) => ({
    ...{ name: name!, access: access as Bound["access"] },
    elementBytes: bytesOf(element!, new WgslConstants(wgsl)),
  }));
  const workgroup = workgroupSize(wgsl);
  const groupSize = workgroup.reduce((product, size) => product * size);
  const sizes = { workgroup, groupSize, workgroupBytes: workgroupBytes(wgsl) };
  return { label, kernel, wgsl, constants, params, bindings, ...sizes };
}

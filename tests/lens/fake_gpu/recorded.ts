/** What a fake device saw: the commands of each submit, in order. */
import type { FakeBuffer } from "./fake_buffer.ts";

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
  readonly bindings: readonly { readonly name: string; readonly access: Bound["access"] }[];
  readonly groupSize: number;
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
    ...wgsl.matchAll(/^@group\(1\) @binding\(\d+\) var<storage, (read|read_write)> (\w+):/gm),
  ].map(([, access, name]) => ({ name: name!, access: access as Bound["access"] }));
  return { label, kernel, wgsl, constants, params, bindings, groupSize: groupSizeOf(wgsl) };
}

/** The product of `@workgroup_size`'s arguments, which are numbers or `const`s of products and quotients. */
function groupSizeOf(wgsl: string): number {
  const args = /@workgroup_size\(([^)]*)\)/.exec(wgsl)?.[1] ?? "1";
  const valueOf = (expression: string): number => {
    const quotient = expression.split("/").map((factors) =>
      factors.split("*").reduce((product, factor) => product * factorOf(factor.trim()), 1)
    );
    return quotient.reduce((value, divisor) => value / divisor);
  };
  const factorOf = (factor: string): number => {
    if (/^\d+u?$/.test(factor)) return parseInt(factor);
    const value = new RegExp(`^const ${factor}(?:: u32)? = ([^;]+);`, "m").exec(wgsl)?.[1];
    if (value === undefined) throw new RangeError(`@workgroup_size(${args}): "${factor}" is no constant`);
    return valueOf(value);
  };
  return args.split(",").filter((arg) => arg.trim() !== "").reduce((size, arg) => size * valueOf(arg), 1);
}

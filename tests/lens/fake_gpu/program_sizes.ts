/** Sizes that a device checks in a kernel's WGSL: its workgroup, and the workgroup's memory. */

/** Constants by name, in the forms that kernels have: numbers, products and quotients of others. */
export class WgslConstants {
  readonly #wgsl: string;

  constructor(wgsl: string) {
    this.#wgsl = wgsl;
  }

  /** @throws RangeError for a name that is no constant */
  valueOf(expression: string): number {
    const quotient = expression.split("/").map((factors) =>
      factors.split("*").reduce((product, factor) => product * this.#factorOf(factor.trim()), 1)
    );
    return quotient.reduce((value, divisor) => value / divisor);
  }

  #factorOf(factor: string): number {
    if (/^\d+u?$/.test(factor)) return parseInt(factor);
    const value = new RegExp(`^const ${factor}(?:: u32)? = ([^;]+);`, "m").exec(this.#wgsl)?.[1];
    if (value === undefined) throw new RangeError(`"${factor}" is no constant of the kernel`);
    return this.valueOf(value);
  }
}

/** `@workgroup_size`'s arguments. */
export function workgroupSize(wgsl: string): readonly [x: number, y: number, z: number] {
  const constants = new WgslConstants(wgsl);
  const args = /@workgroup_size\(([^)]*)\)/.exec(wgsl)?.[1] ?? "1";
  const [x = 1, y = 1, z = 1] = args.split(",").filter((arg) => arg.trim() !== "").map((arg) =>
    constants.valueOf(arg)
  );
  return [x, y, z];
}

/** Bytes of all `var<workgroup>`, each rounded up to 16, as WebGPU counts them. */
export function workgroupBytes(wgsl: string): number {
  const constants = new WgslConstants(wgsl);
  const types = [...wgsl.matchAll(/^\s*var<workgroup> \w+: ([^;]+);/gm)].map(([, type]) => type!.trim());
  return types.reduce((sum, type) => sum + 16 * Math.ceil(bytesOf(type, constants) / 16), 0);
}

/** @throws RangeError for a type that kernels do not have */
export function bytesOf(type: string, constants: WgslConstants): number {
  const [, element, count] = /^array<(.*),\s*([^,<>]+)>$/.exec(type) ?? [];
  if (element !== undefined) return bytesOf(element, constants) * constants.valueOf(count!.trim());
  const [, inner] = /^atomic<(\w+)>$/.exec(type) ?? [];
  const vector = /^vec([24])(?:<(?:f32|u32|i32)>|[fui])$/.exec(inner ?? type)?.[1];
  if (vector !== undefined) return 4 * Number(vector);
  if (/^(f32|u32|i32)$/.test(inner ?? type)) return 4;
  throw new RangeError(`the size of "${type}" is not known to the fake device`);
}

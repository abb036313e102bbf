/**
 * A kernel: WGSL with its params and bindings. Both are declared once, in TypeScript, and their WGSL declarations are generated,
 * so that the two sides cannot disagree. A `.wgsl` file starts with its functions: `params.<name>` and the bindings' names
 * are in scope.
 */
import type { Tensors } from "./tensor.ts";
import { expandTemplate, type TemplateConstants } from "./template.ts";

/** A scalar of the params struct. */
export type ParamType = "u32" | "i32" | "f32";

/** A storage binding: its access and its WGSL element type, as in `read f32` or `read_write vec4<f32>`. */
export type BindingType = `${"read" | "read_write"} ${string}`;

export interface Kernel<
  P extends Record<string, ParamType> = Record<string, ParamType>,
  B extends Record<string, BindingType> = Record<string, BindingType>,
> {
  /** Names the pipeline: two kernels with the same label have the same WGSL. */
  readonly label: string;
  readonly params: P;
  readonly bindings: B;
  /** Complete WGSL with the entry point `main`. */
  readonly wgsl: string;
  /**
   * Whether the grid can be dispatched in parts: its source takes `group_of(part)` for its workgroup, so that each workgroup computes
   * the same in any part.
   */
  readonly isDivisible: boolean;
}

/** The first workgroup of a part of a grid, behind a divisible kernel's own params. */
export const PART_PARAMS = { firstGroupX: "u32", firstGroupY: "u32" } as const satisfies Record<
  string,
  ParamType
>;

const GROUP_OF = `
/** The workgroup in the whole grid, of one in the part that is dispatched. */
fn group_of(part: vec3u) -> vec3u { return part + vec3u(params.firstGroupX, params.firstGroupY, 0u); }`;

/** A kernel's params and the tensors for its bindings, by their names. */
export type KernelArguments<K extends Kernel> =
  & { readonly [Name in keyof K["params"]]: number }
  & Tensors<keyof K["bindings"]>;

/**
 * Declares a kernel. One whose source calls `group_of` (see `Kernel.isDivisible`) must not ask for the number of workgroups, which would be
 * that of a part.
 * @param constants become WGSL `const`s and template variables (see template.ts); they are part of the label
 */
export function defineKernel<
  const P extends Record<string, ParamType>,
  const B extends Record<string, BindingType>,
>(definition: {
  readonly label: string;
  readonly source: string;
  readonly params: P;
  readonly bindings: B;
  readonly constants?: TemplateConstants;
}): Kernel<P, B> {
  const { params, bindings, constants = {} } = definition;
  const variant = Object.entries(constants).map(([name, value]) => `${name}=${value}`).join(",");
  const isDivisible = definition.source.includes("group_of(");
  if (isDivisible && definition.source.includes("num_workgroups")) {
    throw new RangeError(
      `kernel "${definition.label}" takes group_of, and num_workgroups, which is that of a part`,
    );
  }
  const members = Object.entries({ ...params, ...isDivisible && PART_PARAMS }).map(([name, type]) =>
    `  ${name}: ${type},`
  );
  const declarations = Object.entries(bindings).map(([name, binding], index) => {
    const [access, ...type] = binding.split(" ");
    return `@group(1) @binding(${index}) var<storage, ${access}> ${name}: array<${type.join(" ")}>;`;
  });
  const consts = Object.entries(constants).map(([name, value]) =>
    `const ${name}: ${
      typeof value === "boolean" ? "bool" : Number.isInteger(value) ? "u32" : "f32"
    } = ${value};`
  );
  return {
    label: variant === "" ? definition.label : `${definition.label}[${variant}]`,
    params,
    bindings,
    isDivisible,
    wgsl: [
      "struct Params {",
      ...members,
      "}",
      "@group(0) @binding(0) var<uniform> params: Params;",
      ...declarations,
      ...consts,
      ...isDivisible ? [GROUP_OF] : [],
      expandTemplate(definition.source, constants),
    ].join("\n"),
  };
}

/** Builds a kernel's variants on demand, each once: expanding a large template takes longer than a dispatch. */
export function kernelVariants<K extends Kernel>(
  build: (constants: TemplateConstants) => K,
): (constants: TemplateConstants) => K {
  const built = new Map<string, K>();
  return (constants) => built.getOrInsertComputed(Object.values(constants).join(), () => build(constants));
}

/** How attention's kernels read and write the rows of a head: as vec4s if rows consist of whole ones, else value by value. */
import type { BindingType } from "../../device/kernel.ts";

/** The binding of a tensor of rows of headDim values. */
export function rowBinding(access: "read" | "read_write", headDim: number): BindingType {
  return `${access} ${headDim % 4 === 0 ? "vec4<f32>" : "f32"}`;
}

/** WGSL of `load_<name>(row, c)`: the values 4c … 4c+3 of a row, zeros behind its end. */
export function loadRows(name: string, headDim: number): string {
  const head = `fn load_${name}(row: u32, c: u32) -> vec4f {`;
  if (headDim % 4 === 0) return `${head} return ${name}[row * HEAD_DIM4 + c]; }\n`;
  const values = [0, 1, 2, 3].map((i) => `select(0.0, ${name}[at + ${i}u], c * 4u + ${i}u < HEAD_DIM)`);
  return `${head} let at = row * HEAD_DIM + c * 4u; return vec4f(${values.join(", ")}); }\n`;
}

/** WGSL of `store_<name>(row, c, value)`: the counterpart of `loadRows`. */
export function storeRows(name: string, headDim: number): string {
  const head = `fn store_${name}(row: u32, c: u32, value: vec4f) {`;
  if (headDim % 4 === 0) return `${head} ${name}[row * HEAD_DIM4 + c] = value; }\n`;
  const writes = [0, 1, 2, 3].map((i) =>
    `if (c * 4u + ${i}u < HEAD_DIM) { ${name}[at + ${i}u] = value[${i}]; }`
  );
  return `${head} let at = row * HEAD_DIM + c * 4u; ${writes.join(" ")} }\n`;
}

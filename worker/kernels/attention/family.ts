/** The interface of attention's two families of kernels. */
import type { Groups } from "../../device/pass.ts";
import type { TemplateConstants } from "../../device/template.ts";

/** The workgroups for so many queries, or keys, and so many heads. */
export type AttentionGrid = (rowCount: number, headCount: number) => Groups;

export interface AttentionFamily {
  readonly label: string;
  /** What a kernel holds scores in. */
  readonly scoreType: "f32" | "vec4f";
  /** WGSL of the three kernels, without `load_<tensor>` and `store_<tensor>` (row_access.ts). */
  readonly forward: string;
  readonly dq: string;
  readonly dkv: string;
  readonly forwardConstants: TemplateConstants;
  readonly backwardConstants: TemplateConstants;
  readonly forwardGroups: AttentionGrid;
  /** Rows are queries for dq, keys for dkv. */
  readonly backwardGroups: AttentionGrid;
}

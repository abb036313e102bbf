/** The grid of kernels that treat each element separately. */
import type { Groups } from "../../device/pass.ts";

const LINEAR_WORKGROUP_SIZE = 256;

const MAX_GROUPS_A_DIMENSION = 65535;

/**
 * The entry point of such a kernel: calls `element(index)` once for each index below `params.count`. The grid folds into two
 * dimensions, because one ends at 65,535 workgroups.
 */
export const LINEAR_MAIN = `
@compute @workgroup_size(${LINEAR_WORKGROUP_SIZE})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (group.y * groups.x + group.x) * ${LINEAR_WORKGROUP_SIZE}u + lane;
  if (index < params.count) { element(index); }
}
`;

/** Workgroups for `count` elements. */
export function linearGroups(count: number): Groups {
  return foldGroups(Math.ceil(count / LINEAR_WORKGROUP_SIZE));
}

/** At least `groups` workgroups, numbered group.y · groups.x + group.x. */
export function foldGroups(groups: number): Groups {
  if (groups <= MAX_GROUPS_A_DIMENSION) return [groups];
  return [MAX_GROUPS_A_DIMENSION, Math.ceil(groups / MAX_GROUPS_A_DIMENSION)];
}

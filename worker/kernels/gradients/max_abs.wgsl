// The largest |gradient| of each LoRA tensor. A workgroup takes 1024 elements, 16 blocks of 64: each lane folds one vec4, the
// first of every 16 lanes folds its block and sends it to its tensor with one integer atomicMax. The bits of non-negative
// floats are ordered as the floats are, so the result does not depend on the order of the atomics.

const LANES = 256u;
var<workgroup> partial: array<u32, LANES>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let quad = (group.y * groups.x + group.x) * LANES + lane;
  let inside = quad * 4u < params.count;
  var bits = 0u;
  if (inside) {
    // Integers throughout: max() of floats may drop a NaN.
    let value = bitcast<vec4u>(gradient[quad]) & vec4u(0x7fffffffu);
    bits = max(max(value.x, value.y), max(value.z, value.w));
  }
  partial[lane] = bits;
  workgroupBarrier();
  if (inside && lane % 16u == 0u) {
    for (var i = 1u; i < 16u; i++) { bits = max(bits, partial[lane + i]); }
    atomicMax(&maxBits[tensorOfBlock[quad / 16u]], bits);
  }
}

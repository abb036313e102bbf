import { assert, assertEquals, assertThrows } from "@std/assert";
import { fmaShareOf, shareKey } from "./fma_shares.ts";
import { fmaShare, parseShader } from "./parse_isa.ts";

/** As RADV prints it: two loops, the inner one a block that jumps to itself. */
const REPORT = `
disasm:
BB0:
\ts_mov_b64 s[0:1], exec                                      ; be80047e
BB1:
\ts_cbranch_scc0 BB4                                          ; bf8402fc
\tbuffer_load_dwordx4 v[0:3], v0, s[4:7], 0 offen             ; e0381000
\ts_waitcnt vmcnt(0)                                          ; bf8c3f70
\tds_write_b128 v1, v[0:3]                                    ; db7c0000
\ts_barrier                                                   ; bf8a0000
BB2:
\tds_read_b128 v[0:3], v4                                     ; d9fc0000
\tv_fmac_f32_e32 v8, v0, v4                                   ; 56100900
\tv_fma_f32 v9, v0, v5, v9                                    ; d54b0009
\tv_mad_u32_u24 v4, 16, v4, v5                                ; d5430004
\ts_cbranch_scc1 BB2                                          ; bf85fffa
BB3:
\ts_branch BB1                                                ; bf82ffef
BB4:
\ts_endpgm                                                    ; bf810000

*** SHADER STATS ***
SGPRs: 128
VGPRs: 112
Spilled SGPRs: 0
Spilled VGPRs: 3
Code size: 724
LDS size: 12800
Subgroups per SIMD: 8
Instructions: 12
Pre-Sched VGPRs: 109
`;

Deno.test("registers, occupancy and workgroup memory are those that the driver reports", () => {
  const { vgprs, sgprs, spilledVgprs, ldsBytes, wavesPerSimd, instructions } = parseShader(REPORT, []);
  assertEquals([vgprs, sgprs, spilledVgprs, ldsBytes, wavesPerSimd, instructions], [
    112,
    128,
    3,
    12_800,
    8,
    12,
  ]);
});

Deno.test("instructions count as often as the loops around them run", () => {
  assertEquals(parseShader(REPORT, []).executed, {
    fma: 2,
    valu: 1,
    lds: 2,
    memory: 1,
    scalar: 5,
    barrier: 1,
    wait: 1,
  });
  // 10 trips of the outer loop, 4 of the inner one in each.
  const { executed } = parseShader(REPORT, [10, 4]);
  assertEquals(executed, { fma: 80, valu: 40, lds: 50, memory: 10, scalar: 62, barrier: 10, wait: 10 });
  assertEquals(fmaShare({ executed }), 80 / (80 + 40 + 50 + 10 + 62 + 10));
});

Deno.test("a report without its statistics is an error, not a kernel without registers", () => {
  assertThrows(() => parseShader("\ndisasm:\nBB0:\n", []), RangeError, '"VGPRs"');
});

Deno.test("predictions take the share of the variant, else the least of the kernel, else a low one", () => {
  const tile = { TILE_M: 128, TILE_N: 64, SPLIT: 1, A_ALONG_K: 1, B_ALONG_K: 1, ACCUMULATE: 0 };
  const forward = { kernel: "nf4_matmul", constants: tile };
  assertEquals(shareKey(forward), "nf4_matmul 128×64 nt");
  assert(fmaShareOf(forward) > 0.55 && fmaShareOf(forward) < 0.7);
  const unseen = { kernel: "nf4_matmul", constants: { ...tile, TILE_M: 512 } };
  assert(fmaShareOf(unseen) <= fmaShareOf(forward));
  assertEquals(fmaShareOf({ kernel: "rope", constants: {} }), 0.3);
});

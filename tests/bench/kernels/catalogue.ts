/** The kernels that `deno task bench` knows. */
import { adamwCases } from "./adamw.ts";
import { attentionBackwardCases, attentionCases } from "./attention.ts";
import type { KernelBench } from "./bench_case.ts";
import { matmulCases, nf4MatmulCases } from "./matmul.ts";
import { crossEntropyCases, rmsNormCases, ropeCases } from "./rows.ts";

export const CATALOGUE: readonly KernelBench[] = [
  { name: "matmul", summary: "products of f32 matrices", on: "gpu", cases: matmulCases },
  { name: "nf4_matmul", summary: "products with an NF4 weight", on: "gpu", cases: nf4MatmulCases },
  { name: "attention", summary: "flash attention, forward", on: "gpu", cases: attentionCases },
  { name: "attention_backward", summary: "dq, dk and dv", on: "gpu", cases: attentionBackwardCases },
  { name: "rms_norm", summary: "RMSNorm, forward", on: "gpu", cases: rmsNormCases },
  { name: "rope", summary: "rotary position embedding", on: "gpu", cases: ropeCases },
  { name: "cross_entropy", summary: "loss and its gradient", on: "gpu", cases: crossEntropyCases },
  { name: "adamw", summary: "the update, on the CPU", on: "cpu", cases: adamwCases },
];

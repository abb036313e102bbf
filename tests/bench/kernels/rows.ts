/** Kernels that work row by row: RMSNorm, rotary embedding, cross entropy. */
import { defineKernel } from "../../../worker/device/kernel.ts";
import { encodeRope } from "../../../worker/kernels/elementwise/rope.ts";
import { encodeRmsNorm } from "../../../worker/kernels/norm/rms_norm.ts";
import {
  encodeCrossEntropyBackward,
  encodeCrossEntropyLoss,
  encodeCrossEntropyStats,
} from "../../../worker/kernels/vocabulary/cross_entropy.ts";
import type { BenchCase } from "./bench_case.ts";
import type { GpuLab } from "./gpu_lab.ts";
import naiveCrossEntropySource from "./naive/cross_entropy.wgsl" with { type: "text" };
import naiveRmsNormSource from "./naive/rms_norm.wgsl" with { type: "text" };
import naiveRopeSource from "./naive/rope.wgsl" with { type: "text" };

const groupsFor = (rows: number) => [Math.ceil(rows / 64)] as const;

const naiveRmsNorm = defineKernel({
  label: "naive_rms_norm",
  source: naiveRmsNormSource,
  params: { rows: "u32", columns: "u32", epsilon: "f32" },
  bindings: { x: "read f32", weight: "read f32", y: "read_write f32" },
});

export function* rmsNormCases(lab: GpuLab): Generator<BenchCase> {
  for (const [rows, columns] of [[300, 128], [1024, 2048], [32, 4096]] as const) {
    const epsilon = 1e-5;
    const [x, weight] = [lab.floats(rows * columns), lab.floats(columns)];
    const [expected, y, rstd] = [lab.zeros(rows * columns), lab.zeros(rows * columns), lab.zeros(rows)];
    yield {
      label: `${rows}×${columns}`,
      naive: () =>
        lab.pass.dispatch(naiveRmsNorm, { x, weight, y: expected, rows, columns, epsilon }, groupsFor(rows)),
      ours: () => encodeRmsNorm(lab.pass, { x, weight, y, rstd, rows, columns, epsilon }),
      outputs: () => lab.readBoth(expected, y),
      cost: { amount: 8 * rows * columns, unit: "B" },
    };
  }
}

const naiveRope = defineKernel({
  label: "naive_rope",
  source: naiveRopeSource,
  params: { rows: "u32", half: "u32", headCount: "u32" },
  bindings: { x: "read_write f32", cos_table: "read f32", sin_table: "read f32", positions: "read u32" },
});

export function* ropeCases(lab: GpuLab): Generator<BenchCase> {
  for (const [rows, headCount, headDim] of [[300, 4, 32], [1024, 32, 64], [256, 32, 128]] as const) {
    const half = headDim / 2;
    const angles = lab.random(rows * half);
    const [cos, sin] = [lab.upload(angles.map(Math.cos)), lab.upload(angles.map(Math.sin))];
    const positions = lab.upload(Uint32Array.from({ length: rows }, (_, row) => row));
    const start = lab.random(rows * headCount * headDim);
    const [expected, x] = [lab.upload(start), lab.upload(start)];
    yield {
      label: `${rows} rows, ${headCount} heads of ${headDim}`,
      naive: () => {
        const tensors = { x: expected, cos_table: cos, sin_table: sin, positions };
        lab.pass.dispatch(naiveRope, { ...tensors, rows, half, headCount }, groupsFor(rows));
      },
      ours: () => encodeRope(lab.pass, { x, cos, sin, positions, rows, headCount, headDim, inverse: false }),
      outputs: () => lab.readBoth(expected, x),
      cost: { amount: 8 * start.length, unit: "B" },
    };
  }
}

const naiveCrossEntropy = defineKernel({
  label: "naive_cross_entropy",
  source: naiveCrossEntropySource,
  params: { rows: "u32", columns: "u32" },
  bindings: { logits: "read_write f32", labels: "read u32", loss: "read_write f32" },
});

/**
 * Forward and backward over one chunk that is the whole vocabulary; llvmpipe ends a naive thread after 65,535 iterations,
 * of which it takes three per token of the vocabulary.
 */
export function* crossEntropyCases(lab: GpuLab): Generator<BenchCase> {
  for (const [rows, columns] of [[300, 2048], [128, 16_000]] as const) {
    const start = lab.random(rows * columns);
    const [expected, logits] = [lab.upload(start), lab.upload(start)];
    const labels = lab.upload(Uint32Array.from({ length: rows }, (_, row) => row * 7 % columns));
    const [rowLoss, stats, loss] = [lab.zeros(rows), lab.zeros(3 * rows), lab.zeros(2)];
    const chunk = { logits, labels, stats, rows, columns, firstColumn: 0 };
    yield {
      label: `${rows} rows, vocabulary of ${columns}`,
      naive: () => {
        const tensors = { logits: expected, labels, loss: rowLoss };
        lab.pass.dispatch(naiveCrossEntropy, { ...tensors, rows, columns }, groupsFor(rows));
      },
      ours: () => {
        encodeCrossEntropyStats(lab.pass, chunk);
        encodeCrossEntropyLoss(lab.pass, { stats, loss, rows });
        encodeCrossEntropyBackward(lab.pass, { ...chunk, softCap: null });
      },
      outputs: () => lab.readBoth(expected, logits),
      cost: { amount: 8 * start.length, unit: "B" },
    };
  }
}

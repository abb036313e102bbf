/**
 * The kernels of attention, of which there are two families: narrow heads lie in registers, a few queries or keys an
 * invocation (rows_*.wgsl), wide ones pass through workgroup memory in tiles (tile*.wgsl).
 */
import { type BindingType, defineKernel } from "../../device/kernel.ts";
import type { Groups } from "../../device/pass.ts";
import type { TemplateConstants } from "../../device/template.ts";
import type { Processor } from "../../device/processor.ts";
import rowsForwardSource from "./rows_forward.wgsl" with { type: "text" };
import rowsDkvSource from "./rows_dkv.wgsl" with { type: "text" };
import rowsDqSource from "./rows_dq.wgsl" with { type: "text" };
import tileSource from "./tile.wgsl" with { type: "text" };
import tileDkvSource from "./tile_dkv.wgsl" with { type: "text" };
import tileDotsSource from "./tile_dots.wgsl" with { type: "text" };
import tileDqSource from "./tile_dq.wgsl" with { type: "text" };
import tileForwardSource from "./tile_forward.wgsl" with { type: "text" };
import tileSumsSource from "./tile_sums.wgsl" with { type: "text" };

/**
 * - `rows on a CPU`: several rows an invocation, because a driver that computes on the CPU takes loads one by one, and its
 *   registers spill into the first-level cache at no great cost.
 * - `rows on a GPU`: as many as fit in a GPU's registers. Neighbouring invocations read the same key.
 * - `tiles`: for any head, and for wide ones the only kernels that compile in reasonable time.
 */
export type AttentionVariant = "rows on a CPU" | "rows on a GPU" | "tiles";

/** Invocations of a workgroup of the first family. */
const LANES = 32;

/** Rows of a tile of the second family. */
const TILE_ROWS = 32;
/** Invocations along a tile's columns; each has one vec4 of every part of a head. */
const TILE_THREAD_COLUMNS = 16;

/** The variant that is fastest, as far as that was measured: docs/benchmarks. */
export function chooseAttention(headDim: number, processor: Processor): AttentionVariant {
  if (processor.isCpu) return headDim <= 64 ? "rows on a CPU" : "tiles";
  return headDim <= 32 ? "rows on a GPU" : "tiles";
}

interface Family {
  readonly label: string;
  readonly forward: string;
  readonly dq: string;
  readonly dkv: string;
  readonly forwardConstants: TemplateConstants;
  readonly backwardConstants: TemplateConstants;
  /** Workgroups of the forward and of dq. */
  readonly forwardGroups: (rowCount: number, headCount: number) => Groups;
  readonly backwardGroups: (rowCount: number, headCount: number) => Groups;
}

/** Queries of an invocation in the forward; queries, or keys, in the backward, where they need twice the registers. */
function narrowHeads(forwardRows: number, backwardRows: number, headsInside: boolean): Family {
  const constants = { LANES, HEADS_INSIDE: headsInside };
  const groups = (rows: number) => (rowCount: number, headCount: number): Groups => [
    Math.ceil(Math.ceil(rowCount / rows) * headCount / LANES),
  ];
  return {
    label: "attention_rows",
    forward: rowsForwardSource,
    dq: rowsDqSource,
    dkv: rowsDkvSource,
    forwardConstants: { ...constants, QUERIES: forwardRows },
    backwardConstants: { ...constants, QUERIES: backwardRows, KEYS: backwardRows },
    forwardGroups: groups(forwardRows),
    backwardGroups: groups(backwardRows),
  };
}

function wideHeads(headDim: number): Family {
  const parts = Math.ceil(headDim / 4 / TILE_THREAD_COLUMNS);
  const step = [16, 8, 4, 4][parts - 1]!; // step · parts rows of the column tile, of which there are 16
  const groups = (
    rowCount: number,
    headCount: number,
  ): Groups => [Math.ceil(rowCount / TILE_ROWS), headCount];
  const dots = (result: string, left: string, right: string) =>
    tileDotsSource.replaceAll("RESULT", result).replaceAll("LEFT", left).replaceAll("RIGHT", right);
  const sums = (result: string, values: string) =>
    tileSumsSource.replaceAll("RESULT", result).replaceAll("VALUES", values);
  const gradients = dots("dp", "dOut", "v");
  const constants = { HEAD_PARTS: parts, SUM_STEP: step, SUM_STEP4: step / 4 };
  return {
    label: "attention_tile",
    forward: tileSource + dots("s", "q", "k") + sums("out", "v") + tileForwardSource,
    dq: tileSource + dots("s", "q", "k") + gradients + sums("dq", "k") + tileDqSource,
    dkv: tileSource + dots("s", "k", "q") + dots("dp", "v", "dOut") + sums("dv", "dOut") + sums("dk", "q") +
      tileDkvSource,
    forwardConstants: { ...constants, ADD_WEIGHTS: true },
    backwardConstants: { ...constants, ADD_WEIGHTS: false },
    forwardGroups: groups,
    backwardGroups: groups,
  };
}

const madeKernels = new Map<string, ReturnType<typeof makeKernels>>();

/** A variant's kernels for one head size, and their grids; made once for each. */
export function attentionKernels(headDim: number, variant: AttentionVariant) {
  const key = `${variant} ${headDim}`;
  let kernels = madeKernels.get(key);
  if (kernels === undefined) madeKernels.set(key, kernels = makeKernels(headDim, familyOf(headDim, variant)));
  return kernels;
}

function familyOf(headDim: number, variant: AttentionVariant): Family {
  if (variant === "rows on a CPU") return narrowHeads(4, 2, true);
  return variant === "rows on a GPU" ? narrowHeads(2, 1, false) : wideHeads(headDim);
}

function makeKernels(headDim: number, family: Family) {
  const { label } = family;
  const read = rowBinding("read", headDim);
  const write = rowBinding("read_write", headDim);
  const loads = (...names: string[]) => names.map((name) => loadRows(name, headDim)).join("");
  const stores = (...names: string[]) => names.map((name) => storeRows(name, headDim)).join("");
  const sizes = { headCount: "u32", kvHeadCount: "u32", scale: "f32" } as const;
  const constants = { HEAD_DIM: headDim, HEAD_DIM4: Math.ceil(headDim / 4) };
  return {
    forward: defineKernel({
      label,
      source: loads("q", "k", "v") + stores("out") + family.forward,
      params: { queryCount: "u32", ...sizes },
      bindings: {
        q: read,
        k: read,
        v: read,
        keyStarts: "read u32",
        keyEnds: "read u32",
        out: write,
        lse: "read_write f32",
      },
      constants: { ...constants, ...family.forwardConstants },
    }),
    dq: defineKernel({
      label: `${label}_dq`,
      source: loads("q", "k", "v", "out", "dOut") + stores("dq") + family.dq,
      params: { tokenCount: "u32", ...sizes },
      bindings: {
        q: read,
        k: read,
        v: read,
        out: read,
        dOut: read,
        lse: "read f32",
        keyStarts: "read u32",
        dq: write,
        delta: "read_write f32",
      },
      constants: { ...constants, ...family.backwardConstants },
    }),
    dkv: defineKernel({
      label: `${label}_dkv`,
      source: loads("q", "k", "v", "dOut") + stores("dk", "dv") + family.dkv,
      params: { tokenCount: "u32", ...sizes },
      // The outputs come first: where two pipelines share a layout, wgpu checks the buffers of the second dispatch
      // against the least sizes of the first one's, and refuses an lse of fewer than 16 bytes where dq has a vec4.
      bindings: {
        dk: write,
        dv: write,
        q: read,
        k: read,
        v: read,
        dOut: read,
        lse: "read f32",
        delta: "read f32",
        queryEnds: "read u32",
      },
      constants: { ...constants, ...family.backwardConstants },
    }),
    forwardGroups: family.forwardGroups,
    backwardGroups: family.backwardGroups,
  };
}

/** The binding of a tensor of rows of headDim values: vec4s where rows consist of whole ones. */
function rowBinding(access: "read" | "read_write", headDim: number): BindingType {
  return `${access} ${headDim % 4 === 0 ? "vec4<f32>" : "f32"}`;
}

/** WGSL of `load_<name>(row, c)`: the values 4c … 4c+3 of a row, zeros behind its end. */
function loadRows(name: string, headDim: number): string {
  const head = `fn load_${name}(row: u32, c: u32) -> vec4f {`;
  if (headDim % 4 === 0) return `${head} return ${name}[row * HEAD_DIM4 + c]; }\n`;
  const values = [0, 1, 2, 3].map((i) => `select(0.0, ${name}[at + ${i}u], c * 4u + ${i}u < HEAD_DIM)`);
  return `${head} let at = row * HEAD_DIM + c * 4u; return vec4f(${values.join(", ")}); }\n`;
}

/** WGSL of `store_<name>(row, c, value)`: the counterpart of `loadRows`. */
function storeRows(name: string, headDim: number): string {
  const head = `fn store_${name}(row: u32, c: u32, value: vec4f) {`;
  if (headDim % 4 === 0) return `${head} ${name}[row * HEAD_DIM4 + c] = value; }\n`;
  const writes = [0, 1, 2, 3].map((i) =>
    `if (c * 4u + ${i}u < HEAD_DIM) { ${name}[at + ${i}u] = value[${i}]; }`
  );
  return `${head} let at = row * HEAD_DIM + c * 4u; ${writes.join(" ")} }\n`;
}

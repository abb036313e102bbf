/** Kernels that touch each element a few times: the memory's speed decides about them. FLOPs are counted in the WGSL. */
import type { RecordedDispatch } from "../fake_gpu/recorded.ts";
import { type CostOf, indicesOf, type KernelCost, numberBytes, valueOf, WORD } from "./kernel_cost.ts";

const countOf = ({ params }: RecordedDispatch) => valueOf(params, "count");

/** `flops` an element, the named bindings whole. */
function eachElement(
  kind: string,
  flops: number,
  reads: readonly string[],
  writes: readonly string[],
): (dispatch: RecordedDispatch) => KernelCost {
  const bytesOf = (names: readonly string[], bytes: number) =>
    Object.fromEntries(names.map((name) => [name, bytes]));
  return (dispatch) => {
    const bytes = WORD * countOf(dispatch);
    return {
      kind,
      flops: flops * countOf(dispatch),
      reads: bytesOf(reads, bytes),
      writes: bytesOf(writes, bytes),
    };
  };
}

/** y += also reads y. */
const withAccumulator = (dispatch: RecordedDispatch, cost: KernelCost, name: string): KernelCost =>
  dispatch.constants["ACCUMULATE"]
    ? {
      ...cost,
      flops: cost.flops + cost.writes[name]! / WORD,
      reads: { ...cost.reads, [name]: cost.writes[name]! },
    }
    : cost;

const rmsNorm: CostOf = (dispatch) => {
  const [rows, columns] = [valueOf(dispatch.params, "rows"), valueOf(dispatch.params, "columns")];
  const x = WORD * rows * columns;
  const reads = { x, weight: WORD * columns };
  const cost = { kind: "RMSNorm", flops: 4 * rows * columns, reads, writes: { y: x, rstd: WORD * rows } };
  return withAccumulator(dispatch, cost, "y");
};

const rmsNormBackward: CostOf = ({ params }) => {
  const [rows, columns] = [valueOf(params, "rows"), valueOf(params, "columns")];
  const x = WORD * rows * columns;
  const reads = { x, weight: WORD * columns, rstd: WORD * rows, dy: x, dx: x };
  return { kind: "RMSNorm", flops: 8 * rows * columns, reads, writes: { dx: x } };
};

/** x of each row and head; of the tables the lines of all positions that there are. */
const rope: CostOf = (dispatch) => {
  const { params } = dispatch;
  const [count, half] = [valueOf(params, "count"), valueOf(params, "half")];
  const rows = count / half / valueOf(params, "headCount");
  const positions = new Set(indicesOf(dispatch, "positions", rows)).size;
  const [x, table] = [2 * WORD * count, WORD * positions * half];
  const reads = { x, cos_table: table, sin_table: table, positions: WORD * rows };
  return { kind: "RoPE", flops: 6 * count, reads, writes: { x } };
};

/** Rows that the slab has, each read once; the others' invocations end at once. */
const gather: CostOf = (dispatch) => {
  const { params } = dispatch;
  const columns = valueOf(params, "columns");
  const rows = countOf(dispatch) / columns;
  const first = valueOf(params, "firstRow");
  const end = first + valueOf(params, "rowCount");
  const found = indicesOf(dispatch, "indices", rows).filter((row) => row >= first && row < end);
  const reads = { x: numberBytes(dispatch) * new Set(found).size * columns, indices: WORD * rows };
  return { kind: "rows", flops: 0, reads, writes: { y: WORD * found.length * columns } };
};

const scatter: CostOf = (dispatch) => {
  const bytes = WORD * countOf(dispatch);
  const rows = countOf(dispatch) / valueOf(dispatch.params, "columns");
  return { kind: "rows", flops: 0, reads: { x: bytes, indices: WORD * rows }, writes: { y: bytes } };
};

const dropout: CostOf = (dispatch) =>
  withAccumulator(dispatch, eachElement("dropout", 1, ["x"], ["y"])(dispatch), "y");

const embeddingNoise: CostOf = (dispatch) => {
  const cost = eachElement("rows", 5, ["x"], ["x"])(dispatch);
  const indices = WORD * countOf(dispatch) / valueOf(dispatch.params, "columns");
  return { ...cost, reads: { ...cost.reads, documentStarts: indices, documentEnds: indices } };
};

/** Largest magnitude and integer sums; a block of 64 elements has one index, a LoRA tensor one maximum and one scale. */
const maxAbs: CostOf = (dispatch) => {
  const count = countOf(dispatch);
  const maxBits = dispatch.bindings["maxBits"]!.byteLength;
  const reads = { gradient: WORD * count, tensorOfBlock: WORD * count / 64, maxBits };
  return { kind: "gradient sums", flops: count, reads, writes: { maxBits } };
};

const accumulate: CostOf = (dispatch) => {
  const count = countOf(dispatch);
  const scales = dispatch.bindings["scales"]!.byteLength;
  const reads = { gradient: WORD * count, sums: WORD * count, tensorOfBlock: WORD * count / 64, scales };
  return { kind: "gradient sums", flops: 3 * count, reads, writes: { sums: WORD * count } };
};

export const ELEMENTWISE_COSTS: Readonly<Record<string, CostOf>> = {
  rms_norm: rmsNorm,
  rms_norm_backward: rmsNormBackward,
  rope,
  swiglu: eachElement("gated unit", 5, ["gate", "up"], ["y"]),
  swiglu_backward: eachElement("gated unit", 11, ["gate", "up", "dy"], ["gate", "up"]),
  geglu_tanh: eachElement("gated unit", 10, ["gate", "up"], ["y"]),
  geglu_tanh_backward: eachElement("gated unit", 20, ["gate", "up", "dy"], ["gate", "up"]),
  dropout,
  embedding_noise: embeddingNoise,
  gather_rows: gather,
  gather_rows_scaled: gather,
  scatter_rows: scatter,
  copy_columns: eachElement("rows", 0, ["x"], ["y"]),
  soft_cap: eachElement("cross entropy", 10, ["logits"], ["logits"]),
  max_abs: maxAbs,
  accumulate_gradient: accumulate,
};

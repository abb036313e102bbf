/** The most likely next token of each row, so that one id is read back instead of a row of logits. */
import { defineKernel, type KernelArguments } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import source from "./argmax.wgsl" with { type: "text" };

const argmax = defineKernel({
  label: "argmax",
  source,
  params: { columns: "u32", firstColumn: "u32" },
  bindings: { logits: "read f32", bestLogit: "read_write f32", bestColumn: "read_write u32" },
});

/**
 * Adds a chunk to the largest logits so far; chunks must come in ascending order, starting with column 0.
 * @param call.logits [rows, columns], the columns [firstColumn, firstColumn + columns) of the vocabulary
 * @param call.bestLogit f32 [rows]
 * @param call.bestColumn u32 [rows]; of equal logits the first one's
 */
export function encodeArgmax(pass: Pass, call: KernelArguments<typeof argmax> & { rows: number }): void {
  pass.dispatch(argmax, call, [call.rows]);
}

/** Embedding table and output layer on a GPU: as they are stored, if that is in 16 bits, else in f32. */
import type { Dtype } from "../model/safetensors_dtype.ts";
import { embeddingsName, HEAD_NAME } from "../model/model_tensors.ts";
import type { TransformerSpec } from "../model/transformer_spec.ts";

/** Kernels decode both halves exactly (worker/kernels/elementwise/half_floats.ts). */
export type TableFormat = "bf16" | "f16" | "f32";

/** Of each table; a tied output layer is the embeddings. */
export interface TableFormats {
  readonly embeddings: TableFormat;
  readonly head: TableFormat;
}

const STORED: Readonly<Partial<Record<Dtype, TableFormat>>> = { BF16: "bf16", F16: "f16" };
const NAMED = { bfloat16: "bf16", float16: "f16", float32: "f32" } as const;
const ELEMENT_BYTES = { bf16: 2, f16: 2, f32: 4 } as const;

/** The format of a table that a checkpoint stores as `dtype`. */
export function tableFormatOf(dtype: Dtype): TableFormat {
  return STORED[dtype] ?? "f32";
}

/** What config.json lets expect of tables that nobody has seen. */
export function expectedTableFormats({ torchDtype }: Pick<TransformerSpec, "torchDtype">): TableFormats {
  const format = torchDtype === null ? "f32" : NAMED[torchDtype];
  return { embeddings: format, head: format };
}

/** @param typeOf of a stored tensor, by the name that the model computes with */
export function storedTableFormats(
  spec: Pick<TransformerSpec, "textModule">,
  typeOf: (name: string) => Dtype,
): TableFormats {
  return {
    embeddings: tableFormatOf(typeOf(embeddingsName(spec))),
    head: tableFormatOf(typeOf(HEAD_NAME)),
  };
}

export interface SlabRows {
  readonly firstRow: number;
  readonly rowCount: number;
}

/** A table of `rows` rows in slabs of at most `slabRows`. */
export function slabsOf(rows: number, slabRows: number): SlabRows[] {
  return Array.from({ length: Math.ceil(rows / slabRows) }, (_, index) => {
    const firstRow = index * slabRows;
    return { firstRow, rowCount: Math.min(slabRows, rows - firstRow) };
  });
}

/** Bytes of `count` numbers, not rounded to whole words. */
export function tableBytes(format: TableFormat, count: number): number {
  return count * ELEMENT_BYTES[format];
}

/** What a row of a dataset becomes, whoever builds it: the thread that reads the rows, or others. */
import type { DatasetSpec } from "../../job/job_spec_schema.ts";
import type { Example } from "../packing/example.ts";
import type { Row, RowUnit } from "../rows/row.ts";
import type { TokenBound } from "../tokenizer/token_bound.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { boundTokenizer } from "./bounded_tokenizer.ts";
import { createExampleBuilder, type ExampleBuilder, type RowNotes } from "./examples.ts";
import { ResponseNotFoundError } from "./responses.ts";

export type BuiltRow =
  | { readonly kind: "example"; readonly example: Example }
  /** It has at least so many tokens, more than are allowed, and was not tokenised. */
  | { readonly kind: "too long"; readonly atLeast: number }
  /** It may be left out. */
  | { readonly kind: "no response"; readonly thrown: ResponseNotFoundError }
  | { readonly kind: "fault"; readonly thrown: unknown };

/** The settings of a dataset by which its rows are built. */
export type RowsSpec = DatasetSpec & { readonly isEvaluated?: boolean };

export interface RowBuilder extends Omit<ExampleBuilder, "build"> {
  build(row: Row): BuiltRow;
}

export interface RowBuilderOptions {
  readonly tokenizer: Tokenizer;
  readonly bound: TokenBound;
  readonly spec: RowsSpec;
  /** What `Row.line` counts. */
  readonly unit: RowUnit;
}

export function createRowBuilder({ tokenizer, bound, spec, unit }: RowBuilderOptions): RowBuilder {
  const bounded = boundTokenizer(tokenizer, bound, refusedAbove(spec));
  const builder = createExampleBuilder(bounded.tokenizer, spec, unit);
  return {
    ...builder,
    build(row) {
      try {
        const built = bounded.wholeRow(() => builder.build(row));
        return typeof built === "number"
          ? { kind: "too long", atLeast: built }
          : { kind: "example", example: built };
      } catch (thrown) {
        return { kind: thrown instanceof ResponseNotFoundError ? "no response" : "fault", thrown };
      }
    },
  } as RowBuilder;
}

/** Rows of more tokens may stay, cut or whole; "wrapped" packing cuts its stream of tokens anyway and loses none. */
export function longestRow({ packing, packing_strategy, max_seq_length }: DatasetSpec): number {
  return packing && packing_strategy === "wrapped" ? Infinity : max_seq_length;
}

/** Rows of more tokens are refused; Infinity if none are. */
export function refusedAbove(spec: DatasetSpec): number {
  return spec.truncation === "refuse" ? longestRow(spec) : Infinity;
}

/** A run of rows as `RowsElsewhere` built them. */
export interface BuiltRows {
  /** In the rows' order; nothing after the first fault. */
  readonly built: readonly BuiltRow[];
  readonly notes: RowNotes;
}

/** Stops at the first row at fault. */
export function buildRows(builder: RowBuilder, rows: readonly Row[]): BuiltRows {
  const built: BuiltRow[] = [];
  for (const row of rows) {
    const made = builder.build(row);
    built.push(made);
    if (made.kind === "fault") break;
  }
  return { built, notes: builder.takeNotes() };
}

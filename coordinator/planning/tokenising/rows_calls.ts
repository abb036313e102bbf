/** What a preparation asks a thread of its pool for, and what that answers: examples in few buffers, which are handed over. */
import type { RowNotes } from "../../../shared/data/examples/examples.ts";
import { ResponseNotFoundError } from "../../../shared/data/examples/responses.ts";
import type { BuiltRow, BuiltRows, RowsSpec } from "../../../shared/data/examples/row_builder.ts";
import type { Example } from "../../../shared/data/packing/example.ts";
import type { Row, RowUnit } from "../../../shared/data/rows/row.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { errorOf, failureOf } from "../../../shared/protocol/failure.ts";

/** The same for all calls of a preparation. */
export interface RowsSetUp {
  readonly modelFolder: string;
  readonly spec: RowsSpec;
  /** What `Row.line` counts. */
  readonly unit: RowUnit;
}

export interface RowsCall extends RowsSetUp {
  readonly rows: readonly Row[];
}

/** A row that is no example, or what an example has besides its tokens. */
type Besides =
  | Pick<Example, "weight" | "weightSpans">
  | { readonly atLeast: number }
  | { readonly failure: ReturnType<typeof failureOf>; readonly isNoResponse: boolean };

export interface RowsAnswer {
  /** Tokens of each row; 0 for one that is no example. */
  readonly lengths: Uint32Array<ArrayBuffer>;
  /** All rows' tokens, one row after the other. */
  readonly tokens: Uint32Array<ArrayBuffer>;
  readonly completionMask: Uint8Array<ArrayBuffer>;
  /** By row; most have none. */
  readonly besides: ReadonlyMap<number, Besides>;
  readonly notes: RowNotes;
}

const NO_TOKENS = new Uint32Array();

export function answerOf({ built, notes }: BuiltRows): RowsAnswer {
  const lengths = Uint32Array.from(built, (row) => row.kind === "example" ? row.example.tokens.length : 0);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const [tokens, completionMask] = [new Uint32Array(total), new Uint8Array(total)];
  const besides = new Map<number, Besides>();
  let at = 0;
  for (const [index, row] of built.entries()) {
    const found = besidesOf(row);
    if (found !== null) besides.set(index, found);
    if (row.kind !== "example") continue;
    tokens.set(row.example.tokens, at);
    completionMask.set(row.example.completionMask, at);
    at += lengths[index]!;
  }
  return { lengths, tokens, completionMask, besides, notes };
}

function besidesOf(row: BuiltRow): Besides | null {
  if (row.kind === "too long") return { atLeast: row.atLeast };
  if (row.kind !== "example") {
    return { failure: failureOf(row.thrown), isNoResponse: row.kind === "no response" };
  }
  const { tokens: _, completionMask: __, ...others } = row.example;
  return Object.keys(others).length === 0 ? null : others;
}

/** The inverse of `answerOf`, but for the causes and stacks of errors that are the user's. */
export function builtOf({ lengths, tokens, completionMask, besides, notes }: RowsAnswer): BuiltRows {
  let at = 0;
  const built = Array.from(lengths, (length, index): BuiltRow => {
    const found = besides.get(index);
    if (found !== undefined && "atLeast" in found) return { kind: "too long", atLeast: found.atLeast };
    if (found !== undefined && "failure" in found) return failedRow(found.failure, found.isNoResponse);
    const end = at + length;
    const example = {
      tokens: length === 0 ? NO_TOKENS : tokens.subarray(at, end),
      completionMask: completionMask.subarray(at, end),
      ...found,
    };
    at = end;
    return { kind: "example", example };
  });
  return { built, notes };
}

function failedRow(failure: ReturnType<typeof failureOf>, isNoResponse: boolean): BuiltRow {
  const thrown = errorOf(failure);
  if (!isNoResponse || !(thrown instanceof LoraFleetError)) return { kind: "fault", thrown };
  const { code, message, param } = thrown;
  const options = param === null ? {} : { param };
  return { kind: "no response", thrown: new ResponseNotFoundError(code, message, options) };
}

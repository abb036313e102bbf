/** Parquet's values as Python's, by the schema: an INT32 is an int, a DOUBLE a float, a time a text. */
import type { SchemaTree } from "hyparquet";
import type { PyValue } from "../../python/values/value.ts";

/** Times as Python's `datetime.isoformat` writes them, to the microsecond: no form of rows holds a time. */
export const TEXT_PARSERS = {
  timestampFromMilliseconds: (value: bigint) => isoTime(value * 1000n),
  timestampFromMicroseconds: (value: bigint) => isoTime(value),
  timestampFromNanoseconds: (value: bigint) => isoTime(value / 1000n),
  dateFromDays: (days: number) => new Date(days * 86_400_000).toISOString().slice(0, 10),
  stringFromBytes: (bytes: Uint8Array | undefined) =>
    bytes && new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes),
};

function isoTime(microseconds: bigint): string {
  const fraction = ((microseconds % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const seconds = new Date(Number((microseconds - fraction) / 1000n)).toISOString().slice(0, 19);
  return fraction === 0n ? seconds : `${seconds}.${String(fraction).padStart(6, "0")}`;
}

/** Bytes that no encoding is known of. */
export class ParquetBytesError extends Error {
  readonly path: string;

  constructor(path: string) {
    super(`${path} holds bytes`);
    this.path = path;
  }
}

/** Throws a `ParquetBytesError` for bytes. */
export function toPyValue(value: unknown, node: SchemaTree): PyValue {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) {
    const item = itemOf(node);
    return value.map((inner) => toPyValue(inner, item));
  }
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "bigint") return value;
  if (typeof value === "number") return isInteger(node) ? BigInt(value) : value;
  if (ArrayBuffer.isView(value)) {
    if (value instanceof Uint8Array) throw new ParquetBytesError(node.path.join("."));
    return Array.from(value as Float32Array, (inner) => toPyValue(inner, node));
  }
  const object = value as Record<string, unknown>;
  const fields = isMap(node) ? null : node.children;
  if (fields === null) {
    return new Map(Object.entries(object).map(([key, inner]) => [key, toPyValue(inner, valueOf(node))]));
  }
  // JSON columns are objects without a schema below them.
  if (fields.length === 0) {
    return new Map(Object.entries(object).map(([key, inner]) => [key, toPyValue(inner, node)]));
  }
  return new Map(fields.map((field) => [field.element.name, toPyValue(object[field.element.name], field)]));
}

function isInteger({ element }: SchemaTree): boolean {
  const isInt = element.type === "INT32" || element.type === "INT64";
  return isInt && element.converted_type !== "DECIMAL" && element.logical_type?.type !== "DECIMAL";
}

function isMap({ element }: SchemaTree): boolean {
  return element.converted_type === "MAP" || element.logical_type?.type === "MAP";
}

/** A list's items lie below a repeated group of one field, or are repeated themselves (older writers). */
function itemOf(node: SchemaTree): SchemaTree {
  if (node.element.converted_type !== "LIST") return node;
  const repeated = node.children[0]!;
  return repeated.children.length === 1 ? repeated.children[0]! : repeated;
}

function valueOf(node: SchemaTree): SchemaTree {
  return node.children[0]?.children.find(({ element }) => element.name === "value") ?? node;
}

/** The schema as a user reads it: `messages: list<{role: string, content: string}>`. */
export function describeSchema(root: SchemaTree): string {
  return root.children.map((column) => `${column.element.name}: ${describe(column)}`).join(", ");
}

function describe(node: SchemaTree): string {
  const { element, children } = node;
  if (element.converted_type === "LIST") return `list<${describe(itemOf(node))}>`;
  if (isMap(node)) return `map<${describe(valueOf(node))}>`;
  const own = children.length > 0 ? `{${describeSchema(node)}}` : scalarName(element);
  return element.repetition_type === "REPEATED" ? `list<${own}>` : own;
}

function scalarName(
  { type, converted_type: converted, logical_type: logical }: SchemaTree["element"],
): string {
  if (converted === "UTF8" || logical?.type === "STRING") return "string";
  return (logical?.type ?? converted ?? type ?? "unknown").toLowerCase().replace("byte_array", "binary");
}

/**
 * The header of a safetensors file, parsed and checked in full, so that a damaged or lying file is refused before a byte of
 * its data is used. The format: u64 header length, JSON header, then the tensors' bytes without gaps.
 */
import { z } from "zod";
import { invalidFile, messageOf, quote } from "../errors.ts";
import { bytesOf, type Dtype, isDtype } from "./safetensors_dtype.ts";

export { invalidFile };

/** The longest header that the reference implementation accepts, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

export interface TensorInfo {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** First byte and one past the last, from the end of the header. */
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
}

const index = z.int().min(0);
/** Like the reference implementation, ignores unknown keys. */
const tensorSchema = z.object({
  dtype: z.string(),
  shape: z.array(index),
  data_offsets: z.tuple([index, index]),
});
const metadataSchema = z.record(z.string(), z.string());

/**
 * @param bytes the JSON header alone
 * @param dataSize bytes of the file behind the header
 * @throws LoraFleetError `invalid_model`
 */
export function parseHeader(path: string, bytes: Uint8Array, dataSize: number): SafetensorsHeader {
  const entries = parseEntries(path, bytes);
  const tensors = new Map<string, TensorInfo>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of entries) {
    if (name === "__metadata__") {
      const parsed = metadataSchema.safeParse(value);
      if (!parsed.success) throw invalidFile(path, "__metadata__ is not a map of texts to texts");
      metadata = parsed.data;
    } else tensors.set(name, parseTensor(path, name, value));
  }
  checkRanges(path, [...tensors.values()], dataSize);
  return { tensors, metadata };
}

function parseEntries(path: string, bytes: Uint8Array): [name: string, value: unknown][] {
  let text: string;
  let parsed: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw invalidFile(path, "its header is not UTF-8", { cause });
  }
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw invalidFile(path, `its header is not JSON (${messageOf(cause)})`, { cause });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw invalidFile(path, `its header is ${quote(parsed)}, a JSON object is needed`);
  }
  const seen = new Set<string>();
  for (const name of topLevelKeys(text)) {
    if (seen.has(name)) throw invalidFile(path, `its header has tensor ${quote(name)} twice`);
    seen.add(name);
  }
  return Object.entries(parsed);
}

/** The keys of a JSON object in the order of the text, repeated ones included, which `JSON.parse` drops. */
function* topLevelKeys(json: string): Generator<string> {
  let depth = 0;
  let lastText = "";
  for (const token of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:]/gs)) {
    const [symbol] = token;
    if (symbol === "{" || symbol === "[") depth++;
    else if (symbol === "}" || symbol === "]") depth--;
    else if (symbol !== ":") lastText = symbol;
    else if (depth === 1) yield String(JSON.parse(lastText));
  }
}

function parseTensor(path: string, name: string, value: unknown): TensorInfo {
  const parsed = tensorSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const field = issue.path.join(".") || "its entry";
    throw invalidFile(path, `tensor ${quote(name)}: ${field} in the header: ${issue.message}`);
  }
  const { dtype, shape, data_offsets: [start, end] } = parsed.data;
  if (!isDtype(dtype)) throw invalidFile(path, `tensor ${quote(name)} has the unknown type ${quote(dtype)}`);
  const needed = bytesOf(dtype, shape.reduce((product, size) => product * size, 1));
  if (end - start !== needed) {
    const has = `tensor ${quote(name)} has ${end - start} bytes`;
    throw invalidFile(path, `${has}, but ${dtype} [${shape.join(", ")}] needs ${needed}`);
  }
  return { name, dtype, shape, start, end };
}

/** The tensors must fill the data without gaps and without overlaps. */
function checkRanges(path: string, tensors: TensorInfo[], dataSize: number): void {
  tensors.sort((a, b) => a.start - b.start || a.end - b.end);
  let position = 0;
  for (const { name, start, end } of tensors) {
    if (end > dataSize) {
      const where = `tensor ${quote(name)} ends at byte ${end} of the data`;
      throw invalidFile(
        path,
        `${where}, but the file has only ${dataSize}: it is truncated or its header lies`,
      );
    }
    if (start !== position) {
      const fault = start < position ? "overlaps the tensor before it" : "leaves a gap before it";
      throw invalidFile(path, `tensor ${quote(name)} starts at byte ${start}, not ${position}: it ${fault}`);
    }
    position = end;
  }
  if (position !== dataSize) {
    throw invalidFile(path, `its tensors end at byte ${position} of the data, but the file has ${dataSize}`);
  }
}

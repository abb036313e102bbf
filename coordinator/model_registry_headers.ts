/**
 * The headers of a base model's safetensors files: enough to refuse a broken file or a job that does not fit the model
 * before any worker has downloaded it. The format: u64 length, JSON {name: {dtype, shape, data_offsets}}, data.
 */
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";

/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;
const DTYPE_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
};

const size = z.int().min(0);
const tensorSchema = z.object({
  dtype: z.string(),
  shape: z.array(size),
  data_offsets: z.tuple([size, size]),
});
const headerSchema = z.record(z.string(), z.unknown());

export interface TensorHeader {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

interface Stretch {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/**
 * Reads and checks one file's header. Throws a `LoraFleetError` with code `invalid_model` that says what the header
 * promises and what the file holds.
 */
export async function readTensorHeaders(path: string, name: string): Promise<readonly TensorHeader[]> {
  const invalid = (why: string) =>
    new LoraFleetError("invalid_model", `${quote(name)} ${why}`, { param: "model" });
  const { text, dataSize } = await readHeaderText(path, invalid);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (thrown) {
    throw invalid(`has a header that is not JSON: ${messageOf(thrown)}`);
  }
  const header = headerSchema.safeParse(parsed);
  if (!header.success) throw invalid("has a header that is not an object of tensors");
  const tensors: TensorHeader[] = [];
  const stretches: Stretch[] = [];
  for (const [tensorName, entry] of Object.entries(header.data)) {
    if (tensorName === "__metadata__") continue;
    const tensor = tensorSchema.safeParse(entry);
    if (!tensor.success) throw invalid(`has a header in which tensor ${quote(tensorName)} is malformed`);
    const { dtype, shape, data_offsets: [from, to] } = tensor.data;
    const width = DTYPE_BYTES[dtype];
    if (width === undefined) {
      throw invalid(
        `has a header in which tensor ${quote(tensorName)} is of the unknown type ${quote(dtype)}`,
      );
    }
    if (to > dataSize) {
      throw invalid(
        `is truncated: tensor ${
          quote(tensorName)
        } ends at byte ${to} of data, of which ${dataSize} are there`,
      );
    }
    const expected = shape.reduce((product, length) => product * length, width);
    if (to - from !== expected) {
      throw invalid(
        `has a header that contradicts itself: tensor ${
          quote(tensorName)
        }, ${dtype} [${shape}], needs ${expected} bytes, ` +
          `but its offsets span ${to - from}`,
      );
    }
    stretches.push({ name: tensorName, from, to });
    tensors.push({ name: tensorName, dtype, shape });
  }
  const end = endOf(stretches, invalid);
  if (end !== dataSize) throw invalid(`holds ${dataSize} bytes of data, but its header describes ${end}`);
  return tensors;
}

/** Where the data ends by the header. The format has neither gaps nor overlaps, in which something could be hidden. */
function endOf(stretches: Stretch[], invalid: (why: string) => LoraFleetError): number {
  let end = 0;
  for (const { name, from, to } of stretches.sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from !== end) {
      throw invalid(
        `has a header that lies: tensor ${quote(name)} begins at byte ${from} of data, ` +
          `but the one before it ends at ${end}`,
      );
    }
    end = to;
  }
  return end;
}

async function readHeaderText(
  path: string,
  invalid: (why: string) => LoraFleetError,
): Promise<{ text: string; dataSize: number }> {
  const file = await Deno.open(path).catch((thrown) => {
    throw invalid(`cannot be read: ${messageOf(thrown)}`);
  });
  try {
    const { size: fileSize } = await file.stat();
    if (fileSize < 8) {
      throw invalid(`is truncated: ${fileSize} bytes, where the header's length alone takes 8`);
    }
    const prefix = await readExactly(file, 8);
    const length = Number(new DataView(prefix.buffer).getBigUint64(0, true));
    if (length > MAX_HEADER_BYTES) {
      throw invalid(`has a header of ${length} bytes; the format allows ${MAX_HEADER_BYTES}`);
    }
    if (length > fileSize - 8) {
      throw invalid(`is truncated: its header has ${length} bytes, of which ${fileSize - 8} are there`);
    }
    return {
      text: new TextDecoder().decode(await readExactly(file, length)),
      dataSize: fileSize - 8 - length,
    };
  } finally {
    file.close();
  }
}

async function readExactly(file: Deno.FsFile, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const count = await file.read(bytes.subarray(filled));
    if (count === null) throw new Error(`the file ended after ${filled} of ${length} bytes`);
    filled += count;
  }
  return bytes;
}

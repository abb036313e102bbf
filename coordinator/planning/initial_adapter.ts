/**
 * Training on from an earlier job's adapter: its tensors as the state of step 0, with moments of zero, in the words in which workers
 * load a state (shared/protocol/state_frame.ts). Nobody holds that state but the coordinator, until the first worker has loaded it.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { AdapterLayout } from "./adapter_layout.ts";

/** The state that a job begins with, where that is not the fresh adapter which its seed makes. */
export interface InitialState {
  /** SHA-256 (hex) of adapter and moments, as workers compute it. */
  readonly digest: string;
  /** 32-bit words of adapter, first moment and second moment behind one another; fewer where they end. */
  readWords(offset: number, count: number): Promise<Int32Array>;
}

const PIECE_WORDS = 2 ** 18;

const headerSchema = z.record(
  z.string(),
  z.looseObject({ dtype: z.string(), data_offsets: z.tuple([z.int().min(0), z.int().min(0)]) }),
);

/** A stretch of the flat array and where its bytes lie in the file; what lies between is padding. */
interface Stretch {
  readonly offset: number;
  readonly size: number;
  readonly position: number;
}

/**
 * Opens an `adapter_model.safetensors` that is known to have `sha256`. Throws a `LoraFleetError`: `corrupt` where it has another one,
 * `invalid_model` where it is not of this layout, `storage`.
 */
export async function openInitialAdapter(
  path: string,
  sha256: string,
  layout: AdapterLayout,
): Promise<InitialState> {
  await assertSha256(path, sha256);
  const stretches = await stretchesOf(path, layout);
  const { elementCount } = layout;
  const readWords: InitialState["readWords"] = async (offset, count) => {
    const end = Math.min(offset + count, 3 * elementCount);
    const words = new Int32Array(Math.max(0, end - offset));
    using file = await opened(path);
    for (const { offset: start, size, position } of stretches) {
      const [from, to] = [Math.max(offset, start), Math.min(end, start + size)];
      if (from >= to) continue;
      await file.seek(position + 4 * (from - start), Deno.SeekMode.Start);
      await readFully(file, new Uint8Array(words.buffer, 4 * (from - offset), 4 * (to - from)));
    }
    return words;
  };
  const hash = createHash("sha256");
  for (let offset = 0; offset < 3 * elementCount; offset += PIECE_WORDS) {
    hash.update(new Uint8Array((await readWords(offset, PIECE_WORDS)).buffer));
  }
  return { digest: hash.digest("hex"), readWords };
}

async function assertSha256(path: string, sha256: string): Promise<void> {
  const hash = createHash("sha256");
  for await (const chunk of (await opened(path)).readable) hash.update(chunk);
  const found = hash.digest("hex");
  if (found === sha256) return;
  throw new LoraFleetError(
    "corrupt",
    `the adapter to train on from has SHA-256 ${found}, where ${sha256} was recorded`,
    { param: "model" },
  );
}

async function stretchesOf(path: string, layout: AdapterLayout): Promise<readonly Stretch[]> {
  using file = await opened(path);
  const length = new DataView(new ArrayBuffer(8));
  await readFully(file, new Uint8Array(length.buffer));
  const text = new Uint8Array(Number(length.getBigUint64(0, true)));
  await readFully(file, text);
  const { __metadata__: _, ...tensors } = JSON.parse(new TextDecoder().decode(text)) as Record<
    string,
    unknown
  >;
  const header = headerSchema.parse(tensors);
  const names = new Set([...Object.keys(header), ...layout.tensors.map(({ name }) => name)]);
  if (names.size !== layout.tensors.length || Object.keys(header).length !== names.size) {
    throw other(`it has ${Object.keys(header).length} tensors, and this job's has ${layout.tensors.length}`);
  }
  return layout.tensors.map(({ name, offset, size }) => {
    const { dtype, data_offsets: [from, to] } = header[name]!;
    if (dtype !== "F32" || to - from !== 4 * size) {
      throw other(`${quote(name)} has ${to - from} bytes of ${dtype}, and this job's has ${4 * size} of F32`);
    }
    return { offset, size, position: 8 + text.length + from };
  });
}

function other(why: string): LoraFleetError {
  return new LoraFleetError(
    "invalid_model",
    `the adapter to train on from does not fit the base model as it is now: ${why}`,
    { param: "model" },
  );
}

async function opened(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path);
  } catch (cause) {
    throw new LoraFleetError("storage", `cannot read the adapter to train on from: ${messageOf(cause)}`, {
      cause,
    });
  }
}

async function readFully(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const got = await file.read(bytes.subarray(at));
    if (got === null) throw other(`it ends after ${at} of ${bytes.length} bytes`);
    at += got;
  }
}

/** Parts of a training state's file, for workers that recover. */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";

/**
 * 32-bit words of a training state's file from `offset` on. Its tensors follow the header in the order of adapter, first
 * moment, second moment (shared/protocol/state/checkpoint_format.ts). Returns fewer words at the end of the file.
 */
export async function readWords(path: string, offset: number, count: number): Promise<Int32Array> {
  using file = await Deno.open(path).catch((cause) => {
    throw new LoraFleetError("storage", `cannot read ${quote(path)}: ${messageOf(cause)}`, { cause });
  });
  await file.seek(await dataStartIn(file) + 4 * offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(4 * count);
  const got = await readFully(file, bytes);
  return new Int32Array(bytes.buffer, 0, Math.floor(got / 4));
}

/** The first byte after the header of a safetensors file. */
export async function dataStartOf(path: string): Promise<number> {
  using file = await Deno.open(path);
  return await dataStartIn(file);
}

async function dataStartIn(file: Deno.FsFile): Promise<number> {
  const length = new DataView(new ArrayBuffer(8));
  await readFully(file, new Uint8Array(length.buffer));
  return 8 + Number(length.getBigUint64(0, true));
}

async function readFully(file: Deno.FsFile, bytes: Uint8Array): Promise<number> {
  let at = 0;
  while (at < bytes.length) {
    const got = await file.read(bytes.subarray(at));
    if (got === null) break;
    at += got;
  }
  return at;
}

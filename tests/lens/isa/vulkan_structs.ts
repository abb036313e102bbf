/** C structs of Vulkan in memory that lives as long as the process. */

type Field = readonly ["u32" | "u64", number | bigint] | readonly ["struct", Uint8Array];

/** What pointers lead to must not be collected. */
const kept: Uint8Array[] = [];

/** A struct with C's alignment on 64-bit machines. */
export function struct(...fields: readonly Field[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(1024);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [type, value] of fields) {
    if (type === "u32") {
      view.setUint32(at, Number(value), true);
      at += 4;
      continue;
    }
    at = Math.ceil(at / 8) * 8;
    if (type === "u64") view.setBigUint64(at, BigInt(value as number | bigint), true);
    else bytes.set(value as Uint8Array, at);
    at += type === "u64" ? 8 : (value as Uint8Array).length;
  }
  return bytes.slice(0, Math.ceil(at / 8) * 8);
}

/** The address of some bytes, as a field of a struct. */
export function pointerTo(bytes: Uint8Array<ArrayBuffer>): Field {
  kept.push(bytes);
  return ["u64", BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)))];
}

export const u32 = (value: number): Field => ["u32", value];
export const u64 = (value: bigint): Field => ["u64", value];
export const nothing: Field = ["u64", 0n];
export const text = (value: string): Field => pointerTo(new TextEncoder().encode(`${value}\0`));
export const embedded = (bytes: Uint8Array): Field => ["struct", bytes];

/** Structs one after the other. */
export function arrayOf(structs: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(structs.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const each of structs) {
    all.set(each, at);
    at += each.length;
  }
  return all;
}

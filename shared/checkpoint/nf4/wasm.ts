/**
 * An assembler for the few WebAssembly instructions that the NF4 kernel needs, so that the kernel is source here and no binary
 * is in the repository. An instruction is its bytes; a function body is instructions in a row.
 */

export type Code = readonly number[];

/** LEB128, as WebAssembly writes all integers. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  for (;;) {
    const byte = value & 0x7f;
    value >>= 7;
    if (value === (byte & 0x40 ? -1 : 0)) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [value & 0x7f | 0x80, ...unsigned(value >>> 7)];
}

const bytesOf = (values: ArrayBufferView) => [...new Uint8Array(values.buffer)];
const simd = (opcode: number, ...operands: number[]) => [0xfd, ...unsigned(opcode), ...operands];

export const I32 = 0x7f;
export const V128 = 0x7b;

/** Instructions by their names in the specification, with `_` in place of `.`. */
export const op = {
  get: (local: number) => [0x20, ...unsigned(local)],
  set: (local: number) => [0x21, ...unsigned(local)],
  tee: (local: number) => [0x22, ...unsigned(local)],
  /** Repeats `body` while it leaves something other than 0. */
  loopWhile: (...body: Code[]) => [0x03, 0x40, ...body.flat(), 0x0d, 0, 0x0b],
  /** Runs `body` if what is on the stack is not 0. */
  if: (...body: Code[]) => [0x04, 0x40, ...body.flat(), 0x0b],
  return: [0x0f],
  i32_const: (value: number) => [0x41, ...signed(value)],
  i32_add: [0x6a],
  i32_lt_s: [0x48],
  i32_ge_s: [0x4e],
  f32_const: (value: number) => [0x43, ...bytesOf(Float32Array.of(value))],
  f32_reinterpret_i32: [0xbe],
  f32_div: [0x95],
  f32_max: [0x97],
  /** Of two operands on the stack: address, value. */
  f32_store: [0x38, 2, 0],
  v128_load: (offset: number) => simd(0x00, 0, ...unsigned(offset)),
  /** Four u16, each widened to u32. */
  v128_load16x4_u: (offset: number) => simd(0x04, 0, ...unsigned(offset)),
  v128_store: (offset: number) => simd(0x0b, 0, ...unsigned(offset)),
  i8x16_shuffle: (lanes: Code) => simd(0x0d, ...lanes),
  i32x4_splat: simd(0x11),
  f32x4_splat: simd(0x13),
  i16x8_splat: simd(0x10),
  i32x4_extract_lane_0: simd(0x1b, 0),
  i32x4_lt_s: simd(0x39),
  f32x4_gt: simd(0x44),
  v128_and: simd(0x4e),
  v128_or: simd(0x50),
  v128_bitselect: simd(0x52),
  i8x16_narrow_i16x8_u: simd(0x66),
  i16x8_narrow_i32x4_u: simd(0x86),
  i16x8_shl: simd(0x8b),
  i16x8_shr_u: simd(0x8d),
  i32x4_shl: simd(0xab),
  i32x4_add: simd(0xae),
  i32x4_sub: simd(0xb1),
  i32x4_max_s: simd(0xb8),
  f32x4_sub: simd(0xe5),
  f32x4_mul: simd(0xe6),
} as const;

interface WasmFunction {
  readonly name: string;
  /** The number of i32 parameters: the first locals. It returns an i32. */
  readonly parameters: number;
  /** The locals after them: how many of a type. */
  readonly locals: readonly (readonly [count: number, type: number])[];
  readonly body: readonly Code[];
}

/** A module that exports the functions and imports its memory as `env.memory`. */
export function assemble(functions: readonly WasmFunction[]): WebAssembly.Module {
  const section = (id: number, entries: readonly Code[]) => {
    const content = [...unsigned(entries.length), ...entries.flat()];
    return [id, ...unsigned(content.length), ...content];
  };
  const text = (value: string) => [...unsigned(value.length), ...new TextEncoder().encode(value)];
  const types = functions.map(({ parameters }) => [
    ...[0x60, ...unsigned(parameters)],
    ...Array<number>(parameters).fill(I32),
    ...[1, I32],
  ]);
  const bodies = functions.map(({ locals, body }) => {
    const groups = locals.flatMap(([count, type]) => [...unsigned(count), type]);
    const content = [...unsigned(locals.length), ...groups, ...body.flat(), 0x0b];
    return [...unsigned(content.length), ...content];
  });
  return new WebAssembly.Module(Uint8Array.of(
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, types),
    ...section(2, [[...text("env"), ...text("memory"), 2, 0, 1]]),
    ...section(3, functions.map((_, index) => unsigned(index))),
    ...section(7, functions.map(({ name }, index) => [...text(name), 0, ...unsigned(index)])),
    ...section(10, bodies),
  ));
}

/**
 * The WebAssembly instructions that the NF4 kernel is made of, each as its bytes, by their names in the specification with `_` in
 * place of `.`. They take their operands from the stack: the kernel's expressions are too large to be nested.
 */
import { type Code, signed, unsigned } from "../../std/wasm.ts";

const bytesOf = (values: ArrayBufferView) => [...new Uint8Array(values.buffer)];
const simd = (opcode: number, ...operands: number[]) => [0xfd, ...unsigned(opcode), ...operands];

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

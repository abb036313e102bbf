/**
 * The inner loop of quantising to NF4, in WebAssembly's 128-bit vectors: whole blocks of 64 weights, from f32, bf16 or f16 as they
 * are stored. A code is the number of midpoints between neighbouring codebook values that the scaled weight is above: fifteen
 * comparisons for four weights at once, and no branch. Each product and quotient is rounded to f32 as in nf4.ts, so the bits are equal.
 */
import { NF4_MIDPOINTS, SMALLEST_ABSMAX } from "./codebook.ts";
import { assemble, type Code, OWN_MEMORY, type WasmFunction } from "../../std/wasm.ts";
import { op } from "./wasm_instructions.ts";

/** What the kernel reads without conversion. */
export const KERNEL_DTYPES = ["F32", "BF16", "F16"] as const;
export type KernelDtype = typeof KERNEL_DTYPES[number];

/** Weights of one call at most: a multiple of the block size; 4 MiB in f32, so that they stay in a processor's cache. */
export const KERNEL_WEIGHTS = 2 ** 20;

const BLOCK = 64;
const PAGE = 65536;
const SOURCE_AT = 0;
const CODES_AT = 4 * KERNEL_WEIGHTS;
const ABSMAX_AT = CODES_AT + KERNEL_WEIGHTS / 2;
const MEMORY_BYTES = ABSMAX_AT + 4 * KERNEL_WEIGHTS / BLOCK;

// Locals: parameters, then the magnitude's bits, then vectors.
const [SOURCE, BLOCKS, CODES, ABSMAX, DONE, BITS] = [0, 1, 2, 3, 4, 5];
const [LARGEST, RECIPROCAL, HALVES, WORDS, PACKED] = [6, 7, 8, 9, 10];
const VALUES = 11; // four vectors of scaled weights
const COUNTS = 15; // four vectors of codes
const MIDPOINTS = 19; // fifteen vectors
const VECTORS = MIDPOINTS + 15 - LARGEST;

interface Source {
  readonly bytes: number;
  /** Magnitudes from here on, as the bits of an f32, stand for NaN and infinity. */
  readonly limit: number;
  /** Leaves weights 4·i … 4·i+3 of the block in f32. */
  readonly load: (i: number) => Code;
}

const splat = (word: number) => [...op.i32_const(word), ...op.i32x4_splat];

const SOURCES: Readonly<Record<KernelDtype, Source>> = {
  F32: { bytes: 4, limit: 0x7f800000, load: (i) => [...op.get(SOURCE), ...op.v128_load(16 * i)] },
  BF16: {
    bytes: 2,
    limit: 0x7f800000,
    load: (i) => [...op.get(SOURCE), ...op.v128_load16x4_u(8 * i), ...op.i32_const(16), ...op.i32x4_shl],
  },
  F16: { bytes: 2, limit: 0x47800000, load: (i) => f16(8 * i) },
};

/** f16 → f32, exact: the exponent moves by 112; a subnormal number is made normal by a subtraction. NaN and infinity: 2^16 and above. */
function f16(offset: number): Code {
  const moved = op.get(WORDS);
  return [
    ...op.get(SOURCE),
    ...op.v128_load16x4_u(offset),
    ...op.tee(HALVES),
    ...splat(0x7fff),
    ...op.v128_and,
    ...op.i32_const(13),
    ...op.i32x4_shl,
    ...splat(0x38000000),
    ...op.i32x4_add,
    ...op.set(WORDS),
    // (1 + fraction) · 2^−14 − 2^−14
    ...[...moved, ...splat(0x800000), ...op.i32x4_add, ...splat(0x38800000), ...op.f32x4_sub],
    ...moved,
    ...[...moved, ...splat(0x38800000), ...op.i32x4_lt_s],
    ...op.v128_bitselect,
    ...[...op.get(HALVES), ...splat(0x8000), ...op.v128_and, ...op.i32_const(16), ...op.i32x4_shl],
    ...op.v128_or,
  ];
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);
/** Lane i of the result is lane i + by of a vector, around its end. */
const rotate = (by: number) => op.i8x16_shuffle(upTo(16).map((lane) => (lane + 4 * by) % 16));

/** Leaves the bits of the block's largest magnitude in BITS: as integers they are ordered as the magnitudes are. */
function findLargest({ load }: Source): Code {
  const magnitude = (i: number) => [...load(i), ...splat(0x7fffffff), ...op.v128_and];
  const fold = (by: number) =>
    [op.get(LARGEST), op.get(LARGEST), op.get(LARGEST), rotate(by), op.i32x4_max_s, op.set(LARGEST)].flat();
  return [
    ...magnitude(0),
    ...upTo(15).flatMap((i) => [...magnitude(i + 1), ...op.i32x4_max_s]),
    ...op.set(LARGEST),
    ...fold(2),
    ...fold(1),
    ...[...op.get(LARGEST), ...op.i32x4_extract_lane_0, ...op.set(BITS)],
  ];
}

/** Leaves the codes of weights 16·part … 16·part+15 as the low nibbles of 16 bytes, then pairs them: eight i16 of 8 bits. */
function codesOf({ load }: Source, part: number): Code {
  const scaled = upTo(4).flatMap((i) => [
    ...load(4 * part + i),
    ...op.get(RECIPROCAL),
    ...op.f32x4_mul,
    ...op.set(VALUES + i),
  ]);
  const above = (i: number, k: number) => [
    ...op.get(VALUES + i),
    ...op.get(MIDPOINTS + k),
    ...op.f32x4_gt,
  ];
  // A comparison that holds is −1.
  const counted = upTo(15).flatMap((k) =>
    upTo(4).flatMap((i) => [
      ...(k === 0 ? splat(0) : op.get(COUNTS + i)),
      ...above(i, k),
      ...op.i32x4_sub,
      ...op.set(COUNTS + i),
    ])
  );
  const narrowed = [0, 2].flatMap((i) => [
    ...op.get(COUNTS + i),
    ...op.get(COUNTS + i + 1),
    ...op.i16x8_narrow_i32x4_u,
  ]);
  // Of each pair of bytes the even weight's is the low one and becomes the high nibble.
  return [
    ...[...scaled, ...counted, ...narrowed, ...op.i8x16_narrow_i16x8_u, ...op.tee(PACKED)],
    ...[...op.i32_const(4), ...op.i16x8_shl, ...op.get(PACKED), ...op.i32_const(8), ...op.i16x8_shr_u],
    ...[...op.v128_or, ...op.i32_const(0xff), ...op.i16x8_splat, ...op.v128_and],
  ];
}

const advance = (local: number, by: number) => [
  ...op.get(local),
  ...op.i32_const(by),
  ...op.i32_add,
  ...op.set(local),
];

/** (source, blocks, codes, absmax) → blocks done: fewer, if the next one has a weight that is not finite. At least one block. */
function quantise(name: KernelDtype): WasmFunction {
  const source = SOURCES[name];
  const half = (at: number) => [
    ...op.get(CODES),
    ...[...codesOf(source, at), ...codesOf(source, at + 1), ...op.i8x16_narrow_i16x8_u],
    ...op.v128_store(8 * at),
  ];
  const absmax = [...op.get(BITS), ...op.f32_reinterpret_i32];
  const reciprocal = [
    ...op.f32_const(1),
    ...[...absmax, ...op.f32_const(SMALLEST_ABSMAX), ...op.f32_max],
    ...op.f32_div,
    ...op.f32x4_splat,
  ];
  const notFinite = [...op.get(BITS), ...op.i32_const(source.limit), ...op.i32_ge_s];
  const body = [
    ...[...NF4_MIDPOINTS].map((midpoint, k) => [
      ...[...op.f32_const(midpoint), ...op.f32x4_splat, ...op.set(MIDPOINTS + k)],
    ]),
    op.loopWhile(
      findLargest(source),
      [...notFinite, ...op.if(op.get(DONE), op.return)],
      [...op.get(ABSMAX), ...absmax, ...op.f32_store],
      [...reciprocal, ...op.set(RECIPROCAL)],
      [...half(0), ...half(2)],
      [...advance(SOURCE, BLOCK * source.bytes), ...advance(CODES, BLOCK / 2), ...advance(ABSMAX, 4)],
      [...advance(DONE, 1), ...op.get(DONE), ...op.get(BLOCKS), ...op.i32_lt_s],
    ),
    op.get(DONE),
  ];
  const variables = ["i32", "i32", ...Array<"v128">(VECTORS).fill("v128")] as const;
  return { parameters: ["i32", "i32", "i32", "i32"], variables, results: ["i32"], body: body.flat() };
}

type Call = (source: number, blocks: number, codes: number, absmax: number) => number;

export interface Nf4Kernel {
  /** Where a call's weights go, KERNEL_WEIGHTS of them at most, as they are stored. */
  readonly source: Uint8Array<ArrayBuffer>;
  /** Two codes a byte, of the last call's blocks. */
  readonly codes: Uint8Array<ArrayBuffer>;
  /** One a block, of the last call's. */
  readonly absmax: Float32Array<ArrayBuffer>;
  /** @returns blocks done: fewer than asked for if the next one has a weight that is not finite */
  quantise(dtype: KernelDtype, blocks: number): number;
}

let own: Nf4Kernel | null = null;

/** This thread's kernel, made at its first use: 5 MiB of memory. */
export function nf4Kernel(): Nf4Kernel {
  return own ??= createKernel();
}

function createKernel(): Nf4Kernel {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(MEMORY_BYTES / PAGE) });
  const bytes = memory.buffer as ArrayBuffer; // neither shared nor growing
  const functions = Object.fromEntries(KERNEL_DTYPES.map((dtype) => [dtype, quantise(dtype)]));
  const module = new WebAssembly.Module(assemble(["weights"], functions, OWN_MEMORY));
  const { exports } = new WebAssembly.Instance(module, { memory: { weights: memory } });
  const calls = exports as unknown as Readonly<Record<KernelDtype, Call>>;
  return {
    source: new Uint8Array(bytes, SOURCE_AT, CODES_AT),
    codes: new Uint8Array(bytes, CODES_AT, KERNEL_WEIGHTS / 2),
    absmax: new Float32Array(bytes, ABSMAX_AT, KERNEL_WEIGHTS / BLOCK),
    quantise: (dtype, blocks) => blocks === 0 ? 0 : calls[dtype](SOURCE_AT, blocks, CODES_AT, ABSMAX_AT),
  };
}

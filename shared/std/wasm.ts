/**
 * A small assembler for WebAssembly: expressions in TypeScript become the bytes of a module, so that a kernel reads like its
 * formula and needs no compiler. Numbers in comments and tables are those of the core specification 3.0, chapter "Binary Format".
 */

/** Bytes of instructions; an expression's leave its value on the stack. */
export type Code = readonly number[];

const VALUE_TYPES = { i32: 0x7f, f64: 0x7c, v128: 0x7b } as const;
type ValueType = keyof typeof VALUE_TYPES;

/** A parameter or variable of a function. */
export interface Local {
  readonly get: Code;
  set(value: Code): Code;
}

type Types = Readonly<Record<string, ValueType>>;
type Locals<T extends Types> = { readonly [K in keyof T]: Local };

interface FunctionParts<P extends Types, V extends Types> {
  /** In the order of the arguments. */
  readonly parameters: P;
  readonly variables: V;
  readonly result?: ValueType;
  /** Its code leaves the result on the stack, if there is one. */
  readonly body: (locals: Locals<P & V>) => Code;
}

export interface WasmFunction {
  readonly parameters: readonly ValueType[];
  readonly variables: readonly ValueType[];
  readonly results: readonly ValueType[];
  readonly body: Code;
}

export function wasmFunction<P extends Types, V extends Types>(
  { parameters, variables, result, body }: FunctionParts<P, V>,
): WasmFunction {
  const names = [...Object.keys(parameters), ...Object.keys(variables)];
  const locals = Object.fromEntries(names.map((name, index) => [name, localAt(index)]));
  return {
    parameters: Object.values(parameters),
    variables: Object.values(variables),
    results: result === undefined ? [] : [result],
    body: body(locals as unknown as Locals<P & V>),
  };
}

const localAt = (index: number): Local => ({
  get: [0x20, ...unsigned(index)],
  set: (value) => [...value, 0x21, ...unsigned(index)],
});

/** LEB128 of a whole number ≥ 0. */
export function unsigned(value: number): Code {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push(value % 128 + 128);
  return [...bytes, value];
}

/** LEB128 of an i32. */
export function signed(value: number): Code {
  const bytes: number[] = [];
  for (; value < -64 || value > 63; value >>= 7) bytes.push(value & 127 | 128);
  return [...bytes, value & 127];
}

const all = (...parts: readonly Code[]): Code => parts.flat();
const binary = (opcode: Code) => (a: Code, b: Code): Code => all(a, b, opcode);
const unary = (opcode: Code) => (a: Code): Code => all(a, opcode);
const simd = (opcode: number): Code => [0xfd, ...unsigned(opcode)];

/** One after the other. */
export const sequence = all;

export const i32 = {
  constant: (value: number): Code => [0x41, ...signed(value)],
  add: binary([0x6a]),
};

export const f64 = {
  constant: (value: number): Code => [0x44, ...new Uint8Array(Float64Array.of(value).buffer)],
  add: binary([0xa0]),
};

/** Two f64, each rounded as IEEE 754 demands: no instruction here is of the relaxed ones. */
export const f64x2 = {
  splat: unary(simd(20)),
  lane: (a: Code, lane: 0 | 1): Code => all(a, simd(33), [lane]),
  sqrt: unary(simd(239)),
  add: binary(simd(240)),
  sub: binary(simd(241)),
  mul: binary(simd(242)),
  div: binary(simd(243)),
  /** Of the lower two i32. */
  fromI32: unary(simd(254)),
  /** Of the lower two f32. */
  fromF32: unary(simd(95)),
  /** Rounded to f32, in the lower two. */
  toF32: unary(simd(94)),
};

/** Four i32; sums wrap. */
export const i32x4 = { add: binary(simd(174)) };

/** Two i64; sums wrap. */
export const i64x2 = {
  zero: all(simd(12), Array<number>(16).fill(0)),
  add: binary(simd(206)),
  /** Products of the lower two u32 of each. */
  mulLow: binary(simd(222)),
  /** Products of the upper two u32 of each. */
  mulHigh: binary(simd(223)),
};

const ALIGNED_TO_4 = 2;
const ALIGNED_TO_8 = 3;
const HAS_MEMORY_INDEX = 0x40;

/** Two numbers of 32 bits in a memory, the memory being the number of its import. */
export const pair = {
  load: (memory: number, address: Code): Code => all(address, simd(93), place(ALIGNED_TO_8, memory)),
  store: (memory: number, address: Code, value: Code): Code =>
    all(address, value, simd(91), place(ALIGNED_TO_8, memory), [0]),
};

/** Four numbers of 32 bits, so many bytes after the address. */
export const quad = {
  load: (memory: number, address: Code, offset = 0): Code =>
    all(address, simd(0), place(ALIGNED_TO_4, memory, offset)),
  store: (memory: number, address: Code, value: Code): Code =>
    all(address, value, simd(11), place(ALIGNED_TO_4, memory)),
};

const place = (alignment: number, memory: number, offset = 0): Code => [
  alignment | HAS_MEMORY_INDEX,
  ...unsigned(memory),
  ...unsigned(offset),
];

const NO_RESULT = 0x40;

/**
 * `for (; counter != end; counter += step) body`: `step` divides the way from counter to end. An end of 2^32, that of a memory of
 * 4 GiB, is 0 in an i32, and is reached.
 */
export function countUp(counter: Local, end: Local, step: number, body: Code): Code {
  const isDone = all(counter.get, end.get, [0x46]);
  const advance = counter.set(i32.add(counter.get, i32.constant(step)));
  return all(
    [0x02, NO_RESULT, 0x03, NO_RESULT], // block loop
    isDone,
    [0x0d, 1], // br_if out of the block
    body,
    advance,
    [0x0c, 0, 0x0b, 0x0b], // br to the loop's start, end, end
  );
}

const vector = (items: readonly Code[]): Code => all(unsigned(items.length), ...items);
const sized = (bytes: Code): Code => all(unsigned(bytes.length), bytes);
const text = (value: string): Code => sized([...new TextEncoder().encode(value)]);
const section = (id: number, items: readonly Code[]): Code => all([id], sized(vector(items)));
const typesOf = (types: readonly ValueType[]): Code => vector(types.map((type) => [VALUE_TYPES[type]]));

const SHARED_WITH_MAXIMUM = 3;
/** The most pages of 64 KiB that 32-bit addresses reach. */
export const MAX_PAGES = 65536;

/** A memory of one thread, of any size. */
export const OWN_MEMORY: Code = [0, 0];
/** A memory of several threads, of any size. */
const SHARED_MEMORY: Code = [SHARED_WITH_MAXIMUM, ...unsigned(0), ...unsigned(MAX_PAGES)];

/** A module that imports memories by name, from "memory", all of one kind, and exports its functions. */
export function assemble(
  memories: readonly string[],
  functions: Readonly<Record<string, WasmFunction>>,
  limits: Code = SHARED_MEMORY,
): Uint8Array<ArrayBuffer> {
  const each = Object.values(functions);
  return Uint8Array.from(all(
    [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // "\0asm", version 1
    section(1, each.map(({ parameters, results }) => all([0x60], typesOf(parameters), typesOf(results)))),
    section(2, memories.map((name) => all(text("memory"), text(name), [0x02], limits))),
    section(3, each.map((_, index) => unsigned(index))),
    section(7, Object.keys(functions).map((name, index) => all(text(name), [0x00], unsigned(index)))),
    section(
      10,
      each.map(({ variables, body }) =>
        sized(all(vector(variables.map((type) => [1, VALUE_TYPES[type]])), body, [0x0b]))
      ),
    ),
  ));
}

import { assertEquals } from "./assert.ts";
import { assemble, countUp, f64, i32, pair, sequence, signed, unsigned, wasmFunction } from "./wasm.ts";
import { f64x2 } from "./wasm.ts";

Deno.test("whole numbers are LEB128 as in the specification of DWARF", () => {
  assertEquals([unsigned(0), unsigned(127), unsigned(624485)], [[0], [127], [0xe5, 0x8e, 0x26]]);
  assertEquals(unsigned(2 ** 32 - 1), [0xff, 0xff, 0xff, 0xff, 0x0f]);
  assertEquals([signed(2), signed(-2), signed(127)], [[2], [0x7e], [0xff, 0]]);
  assertEquals([signed(-128), signed(-123456)], [[0x80, 0x7f], [0xc0, 0xbb, 0x78]]);
  assertEquals(signed(-(2 ** 31)), [0x80, 0x80, 0x80, 0x80, 0x78]);
});

function run(
  functions: Parameters<typeof assemble>[1],
  memories: Readonly<Record<string, WebAssembly.Memory>> = {},
): Record<string, (...values: number[]) => number> {
  const module = new WebAssembly.Module(assemble(Object.keys(memories), functions));
  return new WebAssembly.Instance(module, { memory: { ...memories } }).exports as ReturnType<typeof run>;
}

Deno.test("a loop counts from its start to before its end, which may be 2^32, and not at all if they are equal", () => {
  const { sumTo } = run({
    sumTo: wasmFunction({
      parameters: { at: "i32", end: "i32" },
      variables: { sum: "f64" },
      result: "f64",
      body: ({ at, end, sum }) =>
        sequence(countUp(at, end, 3, sum.set(f64.add(sum.get, f64.constant(0.5)))), sum.get),
    }),
  });
  assertEquals([sumTo!(0, 9), sumTo!(2 ** 31 - 1, 2 ** 31 + 5), sumTo!(5, 5)], [1.5, 1, 0]);
  assertEquals(sumTo!(2 ** 32 - 12, 2 ** 32), 2);
});

Deno.test("a pair is loaded and stored in the memory that is named, and two functions share them", () => {
  const memories = Object.fromEntries(
    ["a", "b"].map((name) => [name, new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })]),
  );
  const [a, b] = [new Int32Array(memories["a"]!.buffer), new Float32Array(memories["b"]!.buffer)];
  a.set([7, -3, 16777217, 5], 2);
  const { move, sum } = run({
    move: wasmFunction({
      parameters: { from: "i32", to: "i32" },
      variables: {},
      body: ({ from, to }) => pair.store(1, to.get, f64x2.toF32(f64x2.fromI32(pair.load(0, from.get)))),
    }),
    sum: wasmFunction({
      parameters: { at: "i32" },
      variables: { both: "v128" },
      result: "f64",
      body: ({ at, both }) =>
        sequence(
          both.set(f64x2.fromF32(pair.load(1, i32.add(at.get, i32.constant(-8))))),
          f64.add(f64x2.lane(both.get, 0), f64x2.lane(both.get, 1)),
        ),
    }),
  }, memories);
  move!(8, 0);
  move!(16, 256);
  // 2^24 + 1 is no f32: ties to even.
  assertEquals([...b.subarray(0, 3), ...b.subarray(64, 66)], [7, -3, 0, 16777216, 5]);
  assertEquals([sum!(8), sum!(264)], [4, 16777221]);
});

Deno.test("arithmetic of two numbers is that of JavaScript, lane by lane", () => {
  const operations = {
    add: (a: number, b: number) => a + b,
    sub: (a: number, b: number) => a - b,
    mul: (a: number, b: number) => a * b,
    div: (a: number, b: number) => a / b,
  };
  const of = (name: keyof typeof operations, lane: 0 | 1) =>
    wasmFunction({
      parameters: { a: "f64", b: "f64" },
      variables: {},
      result: "f64",
      body: ({ a, b }) => f64x2.lane(f64x2[name](f64x2.splat(a.get), f64x2.splat(b.get)), lane),
    });
  const root = wasmFunction({
    parameters: { a: "f64" },
    variables: {},
    result: "f64",
    body: ({ a }) => f64x2.lane(f64x2.sqrt(f64x2.splat(a.get)), 1),
  });
  const values = [0, -0, 1, -1, 0.1, 1 / 3, 5e-324, 1.7e308, Infinity, -Infinity, NaN];
  const { squareRoot } = run({ squareRoot: root });
  for (const a of values) assertEquals(squareRoot!(a), Math.sqrt(a));
  for (const [name, expected] of Object.entries(operations)) {
    const key = name as keyof typeof operations;
    const { low, high } = run({ low: of(key, 0), high: of(key, 1) });
    for (const a of values) {
      for (const b of values) assertEquals([low!(a, b), high!(a, b)], [expected(a, b), expected(a, b)]);
    }
  }
});

import { assertEquals } from "@std/assert";
import { testGpu } from "../../device/testing/test_gpu.ts";
import { floatsOf, halvesOf, packed } from "../testing/half_inputs.ts";
import { otherProcessors } from "../testing/other_processors.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";
import { encodeMatmul } from "./matmul.ts";
import { chooseTile, type MatmulShape, type Tile } from "./tile.ts";

/** Single elements, odd rows, whole vectors, tails of tiles. */
const SHAPES: readonly MatmulShape[] = [[1, 1, 1], [17, 3, 57], [35, 67, 33], [33, 132, 36]]
  .map(([m, n, k]) => ({ m: m!, n: n!, k: k! }));

for (const format of ["bf16", "f16"] as const) {
  for (const layout of ["nt", "nn"] as const) {
    Deno.test(`matmul ${layout} with B in ${format} has the bits of the same numbers in f32, in every tile`, async () => {
      const gpu = await testGpu();
      for (const shape of SHAPES) {
        const { m, n, k } = shape;
        const prng = testPrng(`${format} ${layout} ${m} ${n} ${k}`);
        const halves = halvesOf(format, randomNormal(prng, n * k, 0.02));
        halves[0] = 0x8001; // the smallest subnormal number, negative
        const a = gpu.upload("a", randomNormal(prng, m * k));
        const out = gpu.allocate("out", m * n * 4);
        const operands = {
          half: { b: gpu.upload("half", packed(halves)), bFormat: format },
          float: { b: gpu.upload("float", floatsOf(format, halves)), bFormat: "f32" },
        } as const;
        const bitsWith = async (of: keyof typeof operands, tile: Tile) => {
          gpu.write(out, new Float32Array(m * n).fill(NaN));
          encodeMatmul(gpu.pass, { a, out, ...operands[of], ...shape, layout, tile });
          return new Uint32Array(await gpu.read(out));
        };
        const processors = [gpu, ...otherProcessors(gpu).map(({ processor }) => processor)];
        const tiles = processors.map((processor) => chooseTile(shape, processor));
        for (const [index, tile] of tiles.entries()) {
          const what = `${m}×${n}×${k} in tile ${index}`;
          assertEquals(await bitsWith("half", tile), await bitsWith("float", tile), what);
        }
        gpu.free([a, out, operands.half.b, operands.float.b]);
      }
    });
  }
}

import { assert, assertEquals } from "@std/assert";
import { chooseTile, type MatmulShape, tileGrid, tileSize } from "./tile.ts";
import type { Processor } from "../../device/processor.ts";

const GPU: Processor = { isCpu: false, subgroupSize: 32 };
const CPU: Processor = { isCpu: true, subgroupSize: 8 };
const PROCESSORS: readonly Processor[] = [
  GPU,
  CPU,
  { isCpu: true, subgroupSize: 4 },
  { isCpu: true, subgroupSize: 0 },
];

const SIZES = [1, 3, 8, 16, 17, 33, 64, 128, 300, 2048, 4096, 11008];
const SHAPES: readonly MatmulShape[] = SIZES.flatMap((m) =>
  SIZES.flatMap((n) => [1, 8, 257, 4096].map((k) => ({ m, n, k })))
);

Deno.test("every tile keeps WebGPU's default limits and covers the product", () => {
  for (const processor of PROCESSORS) {
    for (const shape of SHAPES) {
      const tile = chooseTile(shape, processor);
      const { rows, columns } = tileSize(tile);
      const where = JSON.stringify({ processor, shape, tile });
      assert(tile.threadsM * tile.threadsN * tile.split <= 256, where);
      const staged = (rows + columns) * tile.tileK * 4 + (tile.split > 1 ? rows * columns * 4 : 0) + 64;
      assert(!tile.staged || staged <= 16384, where);
      assert(tile.threadM % (tile.subgroup || 4) === 0, where);
      assertEquals(tile.tileK % (4 * tile.split), 0, where);
      const [x, y] = tileGrid(tile, shape);
      assert(x * columns >= shape.n && (x - 1) * columns < shape.n, where);
      assert(y * rows >= shape.m && (y - 1) * rows < shape.m, where);
    }
  }
});

Deno.test("lanes share rows only if the subgroup has that many lanes, and never across rows of threads", () => {
  for (const processor of PROCESSORS) {
    for (const shape of SHAPES) {
      const tile = chooseTile(shape, processor);
      assert(tile.subgroup <= processor.subgroupSize);
      if (!tile.staged) assertEquals([tile.threadsM, tile.split], [1, 1]);
    }
  }
});

Deno.test("GPUs: large products take large tiles, small ones small tiles, long sums over few elements are split", () => {
  const choose = (m: number, n: number, k: number) => {
    const tile = chooseTile({ m, n, k }, GPU);
    return { ...tileSize(tile), split: tile.split };
  };
  assertEquals(choose(2048, 4096, 4096), { rows: 128, columns: 64, split: 1 });
  assertEquals(choose(300, 2048, 2048), { rows: 64, columns: 64, split: 1 });
  assertEquals(choose(64, 64, 64), { rows: 32, columns: 32, split: 1 });
  assertEquals(choose(2048, 8, 4096), { rows: 64, columns: 16, split: 4 });
  assertEquals(choose(16, 1024, 2048), { rows: 16, columns: 64, split: 4 });
  assertEquals(choose(64, 2048, 2048), { rows: 32, columns: 32, split: 1 });
});

Deno.test("CPU drivers: blocks of up to 32 rows; narrow products give each lane one column", () => {
  const choose = (m: number, n: number) => {
    const { threadM, groupSize } = chooseTile({ m, n, k: 128 }, CPU);
    return [threadM, groupSize];
  };
  assertEquals(choose(300, 128), [32, 4]);
  assertEquals(choose(300, 8), [32, 1]);
  assertEquals(choose(300, 16), [32, 2]);
  assertEquals(choose(16, 128), [16, 4]);
  assertEquals(choose(1, 128), [8, 4]);
});

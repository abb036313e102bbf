import { assertEquals } from "@std/assert";
import type { Processor } from "../../device/processor.ts";
import { chooseTile } from "./tile.ts";
import { tileConstants } from "./tile_constants.ts";

const CPU: Processor = { isCpu: true, subgroupSize: 8 };

Deno.test("vec4 access is used only if rows in memory are whole vec4s", () => {
  const vec = (m: number, n: number, k: number, aAlongK: boolean, bAlongK: boolean) => {
    const shape = { m, n, k };
    const c = tileConstants(chooseTile(shape, CPU), shape, { aAlongK, bAlongK });
    return [c["VEC_A"], c["VEC_B"], c["VEC_OUT"]];
  };
  assertEquals(vec(30, 128, 12, true, true), [true, true, true]);
  assertEquals(vec(30, 128, 13, true, true), [false, false, true]);
  assertEquals(vec(30, 126, 12, true, false), [true, false, false]);
  assertEquals(vec(30, 128, 13, false, false), [false, true, true]);
  assertEquals(vec(32, 128, 13, false, false), [true, true, true]);
});

Deno.test("NF4 scales are hoisted or shared only if rows are whole blocks", () => {
  const scales = (n: number, k: number, bAlongK: boolean) => {
    const shape = { m: 32, n, k };
    const c = tileConstants(chooseTile(shape, CPU), shape, {
      aAlongK: true,
      bAlongK,
      nf4: { doubleQuantized: true },
    });
    return [c["VEC_B"], c["HOISTED_SCALE"], c["SHARED_SCALE"]];
  };
  assertEquals(scales(128, 192, true), [true, true, false]);
  assertEquals(scales(128, 72, true), [true, false, false]);
  assertEquals(scales(128, 65, true), [false, false, false]);
  assertEquals(scales(192, 100, false), [true, false, true]);
  assertEquals(scales(72, 100, false), [true, false, false]);
});

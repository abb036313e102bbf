import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { pcg32 } from "../../../shared/prng.ts";
import { gridParts } from "./grid_parts.ts";

const LIMIT = 65_535;

Deno.test("a grid that is short enough stays whole", () => {
  assertEquals(gridParts([7, 5, 2], 1, LIMIT), [{ firstX: 0, firstY: 0, groups: [7, 5, 2], share: 1 }]);
});

Deno.test("parts are whole lines where one line is short enough, else parts of a line, half as long because lines are uneven", () => {
  const shapes = (pieces: number, x: number, y: number) => {
    const parts = gridParts([x, y, 1], pieces, LIMIT);
    return { count: parts.length, first: parts[0]!.groups };
  };
  assertEquals(shapes(3, 100, 16), { count: 4, first: [100, 5, 1] });
  assertEquals(shapes(16, 100, 16), { count: 16, first: [100, 1, 1] });
  assertEquals(shapes(32, 100, 16), { count: 64, first: [25, 1, 1] });
  assertEquals(shapes(1e9, 3, 2), { count: 6, first: [1, 1, 1] });
  assertEquals(shapes(10, 1000, 1), { count: 20, first: [50, 1, 1] });
});

Deno.test("a grid beyond the limit of a dimension is dispatched in parts", () => {
  const parts = gridParts([LIMIT + 1, 2, 1], 0.1, LIMIT);
  assertEquals(parts.map(({ firstX, groups }) => [firstX, ...groups]), [[0, LIMIT, 2, 1], [LIMIT, 1, 2, 1]]);
  assertEquals(gridParts([1, 3 * LIMIT, 1], 0.1, LIMIT).map(({ firstY }) => firstY), [0, LIMIT, 2 * LIMIT]);
});

Deno.test("every workgroup is in one part, and shares add up to the whole", () => {
  const random = pcg32(48);
  for (let round = 0; round < 300; round++) {
    const [x, y, limit] = [1 + random.below(40), 1 + random.below(40), 1 + random.below(40)];
    const pieces = 2 ** (random.below(16) - 3);
    const seen = new Uint8Array(x * y);
    let share = 0;
    for (const part of gridParts([x, y, 1], pieces, limit)) {
      const [width, height] = part.groups;
      assert(width <= limit && height <= limit && width > 0 && height > 0);
      share += part.share;
      for (let row = part.firstY; row < part.firstY + height; row++) {
        for (let column = part.firstX; column < part.firstX + width; column++) seen[row * x + column]!++;
      }
    }
    assert(seen.every((count) => count === 1), `${x}×${y} in ${pieces} pieces, limit ${limit}`);
    assertAlmostEquals(share, 1, 1e-9);
  }
});

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { createSpaceTree } from "./space_tree.ts";

Deno.test("the least space that suffices, the earliest among equals", () => {
  const tree = createSpaceTree<string>(9);
  for (const [space, item] of [[5, "a"], [3, "b"], [9, "c"], [5, "d"]] as const) tree.add(space, item);
  assertEquals(tree.takeSmallest(4), { space: 5, item: "a" });
  assertEquals(tree.takeSmallest(4), { space: 5, item: "d" });
  assertEquals(tree.takeSmallest(4), { space: 9, item: "c" });
  assertEquals(tree.takeSmallest(4), null);
  assertEquals(tree.takeSmallest(1), { space: 3, item: "b" });
});

Deno.test("a list that is searched through gives the same", () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 17 })), { maxLength: 200 });
  fc.assert(fc.property(steps, (all) => {
    const tree = createSpaceTree<number>(17);
    const list: { space: number; item: number }[] = [];
    all.forEach(([add, value], item) => {
      if (add) {
        tree.add(value, item);
        list.push({ space: value, item });
        return;
      }
      const best = list.filter(({ space }) => space >= value).sort((a, b) => a.space - b.space)[0] ?? null;
      assertEquals(tree.takeSmallest(value), best);
      if (best !== null) list.splice(list.indexOf(best), 1);
    });
  }));
});

Deno.test("thousands of rows of one space come out in their order", () => {
  const tree = createSpaceTree<number>(1);
  for (let i = 0; i < 5000; i++) tree.add(1, i);
  for (let i = 0; i < 5000; i++) assertEquals(tree.takeSmallest(1)?.item, i);
});

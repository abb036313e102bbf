import { assertEquals } from "@std/assert";
import { windowEnd, windowStart, windowWithin } from "./sliding_window.ts";

Deno.test("a window counts only if documents can be longer", () => {
  assertEquals([7, 8, 9].map((positions) => windowWithin({ slidingWindow: 8 }, positions)), [null, null, 8]);
  assertEquals(windowWithin({ slidingWindow: null }, 100), null);
});

Deno.test("keys of a query and queries of a key are the same pairs, at most `window` for each", () => {
  const [start, end, window] = [10, 17, 3];
  const tokens = Array.from({ length: end - start }, (_, i) => start + i);
  for (const query of tokens) {
    const first = windowStart(start, query + 1, window);
    assertEquals(query + 1 - first, Math.min(window, query + 1 - start));
    for (const key of tokens) {
      const seenByQuery = first <= key && key <= query;
      assertEquals(key <= query && query < windowEnd(key, end, window), seenByQuery);
    }
  }
});

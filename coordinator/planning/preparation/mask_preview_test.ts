import { assertEquals } from "@std/assert";
import { previewMasks } from "./mask_preview.ts";

const letters = { decode: (ids: Iterable<number>) => String.fromCharCode(...[...ids].map((id) => 97 + id)) };
const example = (mask: number[], line = 1) => ({
  tokens: Uint32Array.from(mask, (_, index) => index % 26),
  completionMask: Uint8Array.from(mask),
  lines: [line],
});

Deno.test("runs of trained and of context tokens, in order", () => {
  assertEquals(previewMasks([example([0, 0, 1, 1, 0, 1], 7)], letters), [{
    line: 7,
    segments: [
      { text: "ab", trained: false },
      { text: "cd", trained: true },
      { text: "e", trained: false },
      { text: "f", trained: true },
    ],
    hidden_tokens: 0,
  }]);
});

Deno.test("the first token is never trained, whatever its mask says", () => {
  const [preview] = previewMasks([example([1, 1])], letters);
  assertEquals(preview!.segments, [{ text: "a", trained: false }, { text: "b", trained: true }]);
});

Deno.test("three rows at most, each of them a screen long at most", () => {
  const long = example(Array(1000).fill(1));
  const previews = previewMasks([long, long, long, long], letters);
  assertEquals(previews.length, 3);
  assertEquals(previews[0]!.hidden_tokens, 400);
  assertEquals(previews[0]!.segments.map(({ text }) => text.length), [1, 599]);
});

Deno.test("what a trained token counts is shown where it is not 1: the row's weight times its message's", () => {
  const weightSpans = [{ start: 2, end: 4, weight: 0.5 }];
  const weighted = { ...example([0, 1, 1, 1, 1, 0]), weightSpans };
  const segments = (weight: number) => previewMasks([{ ...weighted, weight }], letters)[0]!.segments;
  const context = (text: string) => ({ text, trained: false });
  assertEquals(segments(1), [
    context("a"),
    { text: "b", trained: true },
    { text: "cd", trained: true, weight: 0.5 },
    { text: "e", trained: true },
    context("f"),
  ]);
  assertEquals(segments(2).map(({ weight }) => weight), [undefined, 2, undefined, 2, undefined]);
});

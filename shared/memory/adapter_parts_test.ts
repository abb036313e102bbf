import { assert, assertEquals } from "@std/assert";
import { layoutAdapter } from "../model/gradient_layout.ts";
import { adapterParts } from "./adapter_parts.ts";

/** Two modules: lora_A of 4·10 elements in one block, lora_B of 4·100 in seven; then 4·64 and 4·16. */
const layout = layoutAdapter([
  { name: "one", rank: 4, inFeatures: 10, outFeatures: 100 },
  { name: "two", rank: 4, inFeatures: 64, outFeatures: 16 },
]);

Deno.test("an adapter that fits one binding is one part, and so is no adapter at all", () => {
  assertEquals(layout.elementCount, 64 + 448 + 256 + 64);
  const whole = { offset: 0, count: 832, firstTensor: 0, endTensor: 4 };
  assertEquals(adapterParts(layout, 4 * 832), [whole]);
  assertEquals(adapterParts(layout, 2 ** 31), [whole]);
  assertEquals(adapterParts(layoutAdapter([]), 4), [{ offset: 0, count: 0, firstTensor: 0, endTensor: 0 }]);
});

Deno.test("a larger one is cut between tensors, and the parts are the flat array in its order", () => {
  assertEquals(adapterParts(layout, 4 * 831), [
    { offset: 0, count: 768, firstTensor: 0, endTensor: 3 },
    { offset: 768, count: 64, firstTensor: 3, endTensor: 4 },
  ]);
  assertEquals(adapterParts(layout, 4 * 512), [
    { offset: 0, count: 512, firstTensor: 0, endTensor: 2 },
    { offset: 512, count: 320, firstTensor: 2, endTensor: 4 },
  ]);
  for (let bytes = 4; bytes < 4 * 900; bytes += 4) {
    const parts = adapterParts(layout, bytes);
    let [offset, tensor] = [0, 0];
    for (const part of parts) {
      assertEquals([part.offset, part.firstTensor], [offset, tensor]);
      assert(part.endTensor > part.firstTensor);
      assert(4 * part.count <= bytes || part.endTensor === part.firstTensor + 1);
      [offset, tensor] = [part.offset + part.count, part.endTensor];
    }
    assertEquals([offset, tensor], [layout.elementCount, 4]);
  }
});

Deno.test("a tensor beyond the limit is a part of its own", () => {
  assertEquals(adapterParts(layout, 4 * 300).map(({ count }) => count), [64, 448, 256, 64]);
});

import { assertEquals } from "@std/assert";
import type { TensorFrame } from "../../../shared/protocol/tensor_frame.ts";
import { HeldSums } from "./held_sums.ts";

const frameOf = (senderIndex: number, chunkIndex: number) => ({ senderIndex, chunkIndex }) as TensorFrame;

Deno.test("a frame is handed over once the own sums reach its end, in the order of arrival", () => {
  const held = new HeldSums(4);
  const [late, first, second] = [frameOf(1, 2), frameOf(1, 0), frameOf(2, 0)];
  for (const [frame, needs] of [[late, 300], [first, 100], [second, 100]] as const) {
    assertEquals(held.keep({ frame, needs }), "used");
  }
  assertEquals(held.take(99), null);
  assertEquals([held.take(100), held.take(100), held.take(299)], [first, second, null]);
  assertEquals([held.take(300), held.take(300)], [late, null]);
});

Deno.test("a chunk that comes again is a duplicate, and a sender gets no more room than its window", () => {
  const held = new HeldSums(2);
  assertEquals(held.keep({ frame: frameOf(1, 0), needs: 10 }), "used");
  assertEquals(held.keep({ frame: frameOf(1, 0), needs: 10 }), "duplicate");
  assertEquals(held.keep({ frame: frameOf(1, 1), needs: 20 }), "used");
  assertEquals(held.keep({ frame: frameOf(1, 2), needs: 30 }), "droppedEarly");
  assertEquals(held.keep({ frame: frameOf(2, 2), needs: 30 }), "used");
  held.take(10);
  assertEquals(held.keep({ frame: frameOf(1, 2), needs: 30 }), "used");
});

import { assertEquals } from "@std/assert";
import { type EarlyFrame, EarlyFrames } from "./early_frames.ts";

const HASH = 17;

function frameOf(step: number, attempt: number, elements = 4): EarlyFrame {
  return {
    sender: "w-a",
    frame: {
      kind: "reduce_scatter",
      codec: "i32",
      jobHash: HASH,
      generation: 1,
      step,
      attempt,
      senderIndex: 0,
      ownerIndex: 1,
      chunkIndex: 0,
      chunkCount: 1,
      elementOffset: 0,
      payload: new Int32Array(elements),
    },
  };
}
const round = (step: number, attempt: number) => ({ step, attempt, generation: 1 });

Deno.test("frames of one round are kept in order, up to the limit", () => {
  const early = new EarlyFrames(40);
  const frames = [frameOf(2, 1), frameOf(2, 1, 5), frameOf(2, 1, 1)];
  assertEquals(frames.map((frame) => early.keep(frame)), [true, true, true]);
  assertEquals(early.keep(frameOf(2, 1, 1)), false);
  assertEquals(early.take(HASH, round(2, 1)), frames);
  assertEquals(early.take(HASH, round(2, 1)), []);
  assertEquals(early.keep(frameOf(3, 1, 10)), true);
});

Deno.test("a newer round drives out the older one, and not the other way", () => {
  const early = new EarlyFrames(1000);
  early.keep(frameOf(2, 1));
  const newer = frameOf(2, 2);
  assertEquals([early.keep(newer), early.keep(frameOf(2, 1))], [true, false]);
  // The one that is entered may be older than the one that waits.
  assertEquals(early.take(HASH, round(2, 1)), []);
  assertEquals(early.take(HASH, round(2, 2)), [newer]);
});

Deno.test("what is older than the entered round is forgotten", () => {
  const early = new EarlyFrames(16);
  early.keep(frameOf(2, 1));
  assertEquals(early.take(HASH, round(3, 1)), []);
  assertEquals(early.keep(frameOf(2, 9)), true);
});

Deno.test("frames of a new term replace the waiting ones, under any numbers, and are not handed to the old term's round", () => {
  const early = new EarlyFrames(1000);
  early.keep(frameOf(5, 1));
  const { sender, frame } = frameOf(2, 1);
  const later = { sender, frame: { ...frame, jobHash: 18 } };
  assertEquals(early.keep(later), true);
  assertEquals(early.take(HASH, round(5, 1)), []);
  assertEquals(early.keep(later), true);
  assertEquals(early.take(18, round(2, 1)), [later]);
});

import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../errors.ts";
import { decodeStateFrame, encodeStateFrame, maxPieceWords } from "./state_frame.ts";

const start = { jobId: "ftjob-a", startId: "s-1" };

Deno.test("words round-trip, an empty answer included", () => {
  const words = Int32Array.of(1, -2, 3);
  assertEquals(decodeStateFrame(start, 4, 100, encodeStateFrame(start, 4, 100, words)), words);
  assertEquals(decodeStateFrame(start, 4, 0, encodeStateFrame(start, 4, 0, new Int32Array(0))).length, 0);
});

Deno.test("an answer to a different request is refused", () => {
  const frame = encodeStateFrame(start, 4, 100, Int32Array.of(1));
  assertThrows(
    () => decodeStateFrame({ ...start, startId: "s-2" }, 4, 100, frame),
    LoraFleetError,
    "requested were",
  );
  assertThrows(
    () => decodeStateFrame(start, 5, 100, frame),
    LoraFleetError,
    "of step 5's state",
  );
  assertThrows(() => decodeStateFrame(start, 4, 101, frame), LoraFleetError, "from 101 on");
  assertThrows(
    () => decodeStateFrame(start, 4, 100, frame.subarray(0, 20)),
    LoraFleetError,
    "no tensor frame",
  );
});

Deno.test("a piece fits into a message, and is not larger than half a MiB", () => {
  assertEquals(maxPieceWords(1048), 250);
  assertEquals(maxPieceWords(8 * 2 ** 20), 131_072);
});

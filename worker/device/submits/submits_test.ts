import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { recordingDevice } from "../testing/recording_device.ts";
import { Submits } from "./submits.ts";

/** Submits of which each has the given kernel, and the GPU's clock says how long it lasted. */
function measure(submits: Submits, milliseconds: readonly number[]): void {
  const { device } = recordingDevice();
  for (const _ of milliseconds) {
    submits.add("attention_tile_dkv[HEAD_DIM=128]", 1e9);
    submits.end(device.createCommandEncoder());
  }
  const marks = milliseconds.flatMap((duration) => [0n, BigInt(duration * 1e6)]);
  submits.learn(BigUint64Array.from(marks).buffer, 8);
}

Deno.test("a submit that a watchdog might not forgive is told once, and again when one is twice as long", () => {
  const { device } = recordingDevice();
  const notes: string[] = [];
  const submits = new Submits(device, { isCpu: false });
  submits.tell = (note) => notes.push(note);
  measure(submits, [100, 900]);
  assertEquals(notes, []);
  measure(submits, [100, 1200]);
  measure(submits, [1300, 1200]);
  assertEquals(notes.length, 1);
  assertStringIncludes(notes[0]!, "busy for 1.2 s with one piece of work (attention_tile_dkv)");
  measure(submits, [2500]);
  assertEquals(notes.length, 2);
  assertEquals(submits.stats, { count: 7, longestMs: 2500 });
});

Deno.test("a driver that computes on the CPU has no watchdog", () => {
  const { device } = recordingDevice();
  const submits = new Submits(device, { isCpu: true });
  submits.tell = () => assert(false, "nothing is told");
  measure(submits, [5000]);
});

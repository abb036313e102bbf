import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { LoraFleetError } from "../errors.ts";
import { decodeFrame, encodeFrame, FRAME_HEADER_BYTES, type FrameHeader, jobHash } from "./tensor_frame.ts";

const u32 = fc.nat({ max: 0xffff_ffff });
const u16 = fc.nat({ max: 0xffff });
const headers: fc.Arbitrary<FrameHeader> = fc.record({
  kind: fc.constantFrom("reduce_scatter", "all_gather", "ack", "state"),
  codec: fc.constantFrom("i32", "raw", "i8"),
  jobHash: u32,
  generation: u32,
  step: u32,
  attempt: u32,
  senderIndex: u16,
  ownerIndex: u16,
  chunkIndex: u32,
  chunkCount: u32,
  elementOffset: u32,
});
const payloads = fc.array(fc.integer(), { maxLength: 40 }).map((words) => Int32Array.from(words));

const KNOWN: FrameHeader = {
  kind: "all_gather",
  codec: "i32",
  jobHash: 0x0102_0304,
  generation: 5,
  step: 6,
  attempt: 7,
  senderIndex: 8,
  ownerIndex: 9,
  chunkIndex: 10,
  chunkCount: 11,
  elementOffset: 12,
};

function assertCorrupt(frame: Uint8Array): void {
  assertEquals(assertThrows(() => decodeFrame(frame), LoraFleetError).code, "corrupt");
}

Deno.test("a frame round-trips at any offset of the message in memory", () => {
  fc.assert(fc.property(headers, payloads, fc.nat({ max: 7 }), (header, payload, shift) => {
    const frame = encodeFrame(header, payload);
    const message = new Uint8Array(shift + frame.length + 3).subarray(shift, shift + frame.length);
    message.set(frame);
    assertEquals(decodeFrame(message), { ...header, payload });
    const buffer = Buffer.from(message.buffer, shift, frame.length);
    assertEquals(decodeFrame(buffer), { ...header, payload });
  }));
});

Deno.test("a known frame has the documented bytes", () => {
  const frame = encodeFrame(KNOWN, new Int32Array([-2]));
  const hex = [...frame].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  assertEquals(
    hex.slice(0, 88),
    "4c465446" + "01010000" + "04030201" + "05000000" + "06000000" + "07000000" + "08000900" + "0a000000" +
      "0b000000" + "0c000000" + "01000000",
  );
  assertEquals(hex.slice(96), "feffffff");
  // The check value of CRC-32 (ISO-HDLC).
  assertEquals(jobHash("123456789"), 0xcbf4_3926);
});

Deno.test("every changed bit, and every changed byte, is refused", () => {
  const frame = encodeFrame(KNOWN, Int32Array.from({ length: 9 }, (_, index) => index * 77_777 - 300_000));
  for (let bit = 0; bit < 8 * frame.length; bit++) {
    const changed = frame.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    assertCorrupt(changed);
  }
  fc.assert(
    fc.property(headers, payloads, fc.nat(), fc.integer({ min: 1, max: 255 }), (header, payload, at, by) => {
      const changed = encodeFrame(header, payload);
      changed[at % changed.length]! ^= by;
      assertCorrupt(changed);
    }),
  );
});

Deno.test("every truncation, every addition and any other bytes are refused", () => {
  fc.assert(
    fc.property(headers, payloads, (header, payload) => {
      const frame = encodeFrame(header, payload);
      for (let length = 0; length < frame.length; length++) assertCorrupt(frame.subarray(0, length));
      for (const more of [1, 4]) {
        const longer = new Uint8Array(frame.length + more);
        longer.set(frame);
        assertCorrupt(longer);
      }
    }),
    { numRuns: 20 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 2 * FRAME_HEADER_BYTES }), assertCorrupt));
});

Deno.test("an unknown version, kind or codec is refused despite a correct checksum", () => {
  const payload = Int32Array.of(1, 2, 3);
  for (
    const [at, value, word] of [[4, 2, "version"], [5, 9, "kind"], [6, 9, "codec"], [
      7,
      1,
      "reserved",
    ]] as const
  ) {
    const frame = encodeFrame(KNOWN, payload);
    frame[at] = value;
    const rest = Uint8Array.of(...frame.subarray(0, 44), ...frame.subarray(48));
    new DataView(frame.buffer).setUint32(44, crc32(rest), true);
    const error = assertThrows(() => decodeFrame(frame), LoraFleetError);
    assertEquals([error.code, error.message.includes(word)], ["corrupt", true], error.message);
  }
});

Deno.test("numbers that do not fit the header are not encoded", () => {
  fc.assert(fc.property(
    headers,
    fc.constantFrom("jobHash", "step", "senderIndex", "ownerIndex", "chunkCount", "elementOffset"),
    fc.constantFrom(-1, 0.5, 2 ** 32, NaN),
    (header, field, value) => {
      const error = assertThrows(
        () => encodeFrame({ ...header, [field]: value }, new Int32Array()),
        LoraFleetError,
      );
      assertEquals(error.code, "invalid_request");
    },
  ));
});

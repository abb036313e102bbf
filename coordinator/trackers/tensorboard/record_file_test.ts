import { assertEquals } from "@std/assert";
import { concat } from "../run/bytes.ts";
import { crc32c } from "./crc32c.ts";
import { encodeRecord, wholeRecords } from "./record_file.ts";

Deno.test("CRC-32C of RFC 3720's test vectors", () => {
  assertEquals(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assertEquals(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assertEquals(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e);
  assertEquals(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
});

Deno.test("whole records end before a cut one and before a damaged one", () => {
  const records = [1, 20, 300].map((length) => encodeRecord(new Uint8Array(length).fill(length)));
  const all = concat(records);
  const ends = [0, 17, 17 + 36, 17 + 36 + 316];
  for (let length = 0; length <= all.length; length++) {
    const expected = Math.max(...ends.filter((end) => end <= length));
    assertEquals(wholeRecords(all.subarray(0, length)), expected, `${length} bytes`);
  }
  for (let damaged = 17; damaged < 17 + 36; damaged++) {
    const copy = all.slice();
    copy[damaged]! ^= 1;
    assertEquals(wholeRecords(copy), 17, `byte ${damaged}`);
  }
});

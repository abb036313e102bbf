import { assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { assertFits } from "./memory_fit.ts";

const planOf = (bytes: number) => ({
  groups: [],
  totalBytes: bytes,
  keptLayers: 1,
  layerBytes: 0,
  largest: { name: "gate", bytes, advice: "lower dataset.max_seq_length" },
});
const most = 2 ** 31 - 256;

Deno.test("a buffer that is too large by a little is told in bytes, by much in GiB", () => {
  const refusalOf = (bytes: number) =>
    assertThrows(() => assertFits(planOf(bytes), null, most, "RTX 3090"), LoraFleetError).message;
  assertStringIncludes(
    refusalOf(2 ** 31),
    'buffer "gate" needs 2147483648 bytes, and RTX 3090 binds at most 2147483392 bytes at once',
  );
  assertStringIncludes(
    refusalOf(3 * 2 ** 30),
    'buffer "gate" needs 3.00 GiB, and RTX 3090 binds at most 2.00 GiB',
  );
  assertFits(planOf(most), null, most, "RTX 3090");
});

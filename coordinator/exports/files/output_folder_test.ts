import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { assertRoomFor, freeBytesOf } from "./free_space.ts";
import { openOutputFolder } from "./output_folder.ts";

Deno.test("a disk that fills while an export is written: the error has the bytes written and needed", async () => {
  const output = openOutputFolder("/", {
    bytesNeeded: 5_000_000_000,
    open: () => Deno.openSync("/dev/full", { write: true }),
  });
  const error = await assertRejects(
    () => output.write("model.safetensors", [new Uint8Array(100)]),
    LoraFleetError,
    'Writing "model.safetensors" failed after 0 bytes of the 5000000000 that the export needs: the disk is full',
  );
  assertEquals([error.code, output.files], ["storage", []]);
});

Deno.test("an export that does not fit on the disk is refused before its first byte", () => {
  assertRoomFor(1000, 2 ** 30);
  const message = "the export needs 2147483648 bytes on the coordinator's disk";
  const error = assertThrows(() => assertRoomFor(2 ** 31, 2 ** 31 + 1000), LoraFleetError, message);
  assertEquals(error.code, "storage");
  assertEquals(freeBytesOf("/tmp") > 0, true);
});

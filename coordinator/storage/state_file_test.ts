import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { readWords } from "./state_file.ts";

/** A file whose data are the words 0, 1, 2, … behind a header of odd length. */
async function withStateFile(work: (path: string) => Promise<void>) {
  const path = await Deno.makeTempFile({ suffix: ".safetensors" });
  const header = new TextEncoder().encode('{"x":{}}  ');
  const bytes = new Uint8Array(8 + header.length + 4 * 300);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  bytes.set(new Uint8Array(Int32Array.from({ length: 300 }, (_, i) => i).buffer), 8 + header.length);
  await Deno.writeFile(path, bytes);
  try {
    await work(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("words are read from after the header, up to the end of the file", () =>
  withStateFile(async (path) => {
    assertEquals([...await readWords(path, 0, 3)], [0, 1, 2]);
    assertEquals([...await readWords(path, 297, 10)], [297, 298, 299]);
    assertEquals([...await readWords(path, 1000, 10)], []);
  }));

Deno.test("a missing file is named", async () => {
  await assertRejects(() => readWords("/nowhere/state", 0, 1), LoraFleetError, "/nowhere/state");
});

import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { LADDER_CASES, loadLadderCase } from "../../tests/golden/golden.ts";
import { LoraFleetError } from "../errors.ts";
import { openSafetensors } from "./safetensors.ts";
import { type TensorData, writeSafetensors } from "./safetensors_write.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const TENSORS: TensorData[] = [
  { name: "b", dtype: "F32", shape: [2, 2], data: Float32Array.of(1, -2, 3.5, NaN) },
  { name: "bytes", dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 255) },
  { name: "7", dtype: "F32", shape: [], data: Float32Array.of(0.1) },
  { name: "none", dtype: "F32", shape: [0, 5], data: new Float32Array(0) },
];

Deno.test("writing and reading round-trips names, shapes, bytes and metadata", () =>
  inFolder(async (folder) => {
    const path = `${folder}/file.safetensors`;
    await writeSafetensors(path, TENSORS, { format: "pt", note: "ü" });
    const file = openSafetensors(path);
    assertEquals(file.metadata, { format: "pt", note: "ü" });
    for (const { name, dtype, shape, data } of TENSORS) {
      const info = file.tensors.get(name)!;
      assertEquals([info.dtype, info.shape], [dtype, shape]);
      assertEquals(file.read(name), new Uint8Array(data.buffer));
    }
    assertEquals(file.readFloat32("b"), TENSORS[0]!.data);
    assertThrows(() => file.readFloat32("bytes"), LoraFleetError, '"bytes" is U8, not floating-point');
    assertThrows(() => file.read("a"), LoraFleetError, 'no tensor "a"');
    assertEquals([...Deno.readDirSync(folder)].length, 1);
  }));

for (const name of LADDER_CASES) {
  Deno.test(`${name}: PEFT's file has the same bytes after reading and writing it`, () =>
    inFolder(async (folder) => {
      const source = `${loadLadderCase(name).adapterFolder}/adapter_model.safetensors`;
      const file = openSafetensors(source);
      const tensors = [...file.tensors.values()].map(({ name, dtype, shape }) => {
        return { name, dtype, shape, data: file.read(name) };
      });
      await writeSafetensors(`${folder}/again`, tensors.reverse(), file.metadata);
      assertEquals(await Deno.readFile(`${folder}/again`), await Deno.readFile(source));
    }));
}

/** A file with this header text, and `size` bytes behind it. */
function fileOf(header: string, size: number, claimed = new TextEncoder().encode(header).length): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + size);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(claimed), true);
  bytes.set(text, 8);
  return bytes;
}

const entry = (start: number, end: number, fields = {}) =>
  JSON.stringify({ dtype: "F32", shape: [(end - start) / 4], data_offsets: [start, end], ...fields });

const BROKEN: [what: string, bytes: Uint8Array, words: string][] = [
  ["an empty file", new Uint8Array(0), "has 0 bytes"],
  ["a file without a whole length", new Uint8Array(7), "has 7 bytes"],
  ["a header beyond the file's end", fileOf("{}", 0, 3), "claims a header of 3 bytes, but has 10"],
  ["a header of 2^63 bytes", fileOf("{}", 0, 2 ** 63), "claims a header of 9223372036854775808 bytes"],
  ["a header that is no JSON", fileOf("{", 0), "not JSON"],
  ["a header that is no object", fileOf("[]", 0), "JSON object is needed"],
  ["a header that is no UTF-8", Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe), "not UTF-8"],
  ["metadata that is no texts", fileOf(`{"__metadata__":{"a":1}}`, 0), "__metadata__"],
  ["an unknown type", fileOf(`{"t":${entry(0, 4, { dtype: "F13" })}}`, 4), 'unknown type "F13"'],
  ["a missing shape", fileOf(`{"t":{"dtype":"F32","data_offsets":[0,4]}}`, 4), '"t": shape'],
  ["a negative size", fileOf(`{"t":${entry(0, 4, { shape: [-1] })}}`, 4), '"t": shape.0'],
  [
    "a shape of the wrong size",
    fileOf(`{"t":${entry(0, 4, { shape: [2] })}}`, 4),
    "has 4 bytes, but F32 [2] needs 8",
  ],
  ["a shape whose size overflows", fileOf(`{"t":${entry(0, 4, { shape: [2 ** 40, 2 ** 40] })}}`, 4), "needs"],
  ["an end before the start", fileOf(`{"t":${entry(4, 0, { shape: [1] })}}`, 4), "has -4 bytes"],
  [
    "a tensor beyond the end",
    fileOf(`{"t":${entry(0, 8)}}`, 4),
    "ends at byte 8 of the data, but the file has only 4",
  ],
  ["a gap", fileOf(`{"t":${entry(4, 8)}}`, 8), "leaves a gap"],
  ["an overlap", fileOf(`{"s":${entry(0, 8)},"t":${entry(4, 12)}}`, 12), "overlaps"],
  [
    "bytes outside every tensor",
    fileOf(`{"t":${entry(0, 4)}}`, 6),
    "end at byte 4 of the data, but the file has 6",
  ],
  ["a tensor twice", fileOf(`{"t":${entry(0, 4)},"t":${entry(0, 4)}}`, 4), '"t" twice'],
];

for (const [what, bytes, words] of BROKEN) {
  Deno.test(`refused: ${what}`, () =>
    inFolder(async (folder) => {
      const path = `${folder}/broken.safetensors`;
      await Deno.writeFile(path, bytes);
      const error = assertThrows(() => openSafetensors(path), LoraFleetError, words);
      assertEquals(error.code, "invalid_model");
      assertStringIncludes(error.message, path);
    }));
}

Deno.test("a missing file, a folder, and a file truncated after it was opened", () =>
  inFolder(async (folder) => {
    const missing = assertThrows(() => openSafetensors(`${folder}/none`), LoraFleetError, `${folder}/none`);
    assertEquals(missing.code, "model_not_found");
    assertEquals(assertThrows(() => openSafetensors(folder), LoraFleetError).code, "storage");
    const path = `${folder}/cut`;
    await writeSafetensors(path, TENSORS);
    const file = openSafetensors(path);
    await Deno.truncate(path, 200);
    assertThrows(() => file.read("bytes"), LoraFleetError, "truncated");
  }));

Deno.test("tensors that do not form a file are refused before a byte is written", () =>
  inFolder(async (folder) => {
    const [first] = TENSORS as [TensorData];
    for (
      const tensors of [[first, first], [{ ...first, shape: [3] }], [{ ...first, name: "__metadata__" }]]
    ) {
      await assertRejects(() => writeSafetensors(`${folder}/file`, tensors), RangeError);
    }
    assertEquals([...Deno.readDirSync(folder)], []);
  }));

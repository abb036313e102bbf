import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { readTensorHeaders } from "./headers.ts";

function safetensors(header: unknown, dataSize: number, headerLength?: number): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataSize);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength ?? json.length), true);
  bytes.set(json, 8);
  return bytes;
}

async function read(bytes: Uint8Array) {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, bytes);
    return await readTensorHeaders(path, "model.safetensors");
  } finally {
    await Deno.remove(path);
  }
}

const weight = { dtype: "F16", shape: [2, 3], data_offsets: [0, 12] };

Deno.test("names, dtypes and shapes are read", async () => {
  const header = {
    __metadata__: { format: "pt" },
    a: weight,
    b: { dtype: "F32", shape: [], data_offsets: [12, 16] },
  };
  const [a, b] = await read(safetensors(header, 16));
  assertEquals([a!.name, a!.dtype, a!.shape, a!.to - a!.from], ["a", "F16", [2, 3], 12]);
  assertEquals([b!.name, b!.dtype, b!.shape, b!.from], ["b", "F32", [], a!.to]);
});

Deno.test("a truncated or inconsistent file is refused with its claimed and its actual size", async () => {
  const cases: [Uint8Array<ArrayBuffer>, string][] = [
    [new Uint8Array(5), "it has 5 bytes"],
    [safetensors({ a: weight }, 12).slice(0, 20), "but has 20 in all"],
    [safetensors({ a: weight }, 11), '"a" ends at byte 12 of the data, but the file has only 11'],
    [safetensors({ a: weight }, 13), "end at byte 12 of the data, but the file has 13"],
    [safetensors({ a: { ...weight, shape: [2, 4] } }, 12), "has 12 bytes, but F16 [2, 4] needs 16"],
    [safetensors({ a: { ...weight, data_offsets: [12, 0] } }, 12), "has -12 bytes"],
    [safetensors({ a: { ...weight, shape: [-1] } }, 12), '"a": shape.0 in the header'],
    [safetensors({ a: { ...weight, dtype: "F12" } }, 12), '"a" has the unknown type "F12"'],
    [safetensors({ a: weight, b: weight }, 12), '"b" starts at byte 0, not 12: it overlaps'],
    [safetensors({ a: weight, b: { ...weight, data_offsets: [13, 25] } }, 25), "leaves a gap"],
    [safetensors({ a: weight }, 12, 2 ** 40), "a header has at most 100000000"],
    [safetensors("{", 0), "is not JSON"],
    [safetensors("[]", 0), "a JSON object is needed"],
    [Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe), "not UTF-8"],
    [safetensors({ a: { dtype: "F4", shape: [3], data_offsets: [0, 2] } }, 2), "F4 [3] needs 1.5"],
  ];
  for (const [bytes, message] of cases) {
    const error = await assertRejects(() => read(bytes), LoraFleetError, message);
    assertEquals(error.code, "invalid_model");
  }
});

Deno.test("every dtype of the format is known, and unknown keys are ignored, as by the reference", async () => {
  const widths = { F4: 0.5, F6_E2M3: 0.75, F8_E8M0: 1, F8_E4M3FNUZ: 1, BF16: 2, C64: 8 };
  for (const [dtype, width] of Object.entries(widths)) {
    const size = 4 * width;
    const header = { a: { dtype, shape: [4], data_offsets: [0, size], note: "of a newer version" } };
    assertEquals((await read(safetensors(header, size))).map((tensor) => tensor.dtype), [dtype]);
  }
});

Deno.test("a file that cannot be opened is named", async () => {
  const error = await assertRejects(
    () => readTensorHeaders("/no/model.safetensors", "model.safetensors"),
    LoraFleetError,
    'Reading "model.safetensors" failed: there is no such file',
  );
  assertEquals(error.code, "invalid_model");
});

import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../shared/errors.ts";
import { readTensorHeaders } from "./model_registry_headers.ts";

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

Deno.test("names, types and shapes are read", async () => {
  const header = {
    __metadata__: { format: "pt" },
    a: weight,
    b: { dtype: "F32", shape: [], data_offsets: [12, 16] },
  };
  assertEquals(await read(safetensors(header, 16)), [
    { name: "a", dtype: "F16", shape: [2, 3] },
    { name: "b", dtype: "F32", shape: [] },
  ]);
});

Deno.test("a truncated or lying file is refused with what it promises and holds", async () => {
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(5), "is truncated: 5 bytes"],
    [safetensors({ a: weight }, 12).slice(0, 20), "of which 12 are there"],
    [safetensors({ a: weight }, 11), '"a" ends at byte 12 of data, of which 11 are there'],
    [safetensors({ a: weight }, 13), "holds 13 bytes of data, but its header describes 12"],
    [
      safetensors({ a: { ...weight, shape: [2, 4] } }, 12),
      "F16 [2,4], needs 16 bytes, but its offsets span 12",
    ],
    [safetensors({ a: { ...weight, data_offsets: [12, 0] } }, 12), "span -12"],
    [safetensors({ a: { ...weight, shape: [-1] } }, 12), '"a" is malformed'],
    [safetensors({ a: { ...weight, dtype: "F12" } }, 12), '"a" is of the unknown type "F12"'],
    [
      safetensors({ a: weight, b: weight }, 12),
      '"b" begins at byte 0 of data, but the one before it ends at 12',
    ],
    [safetensors({ a: weight, b: { ...weight, data_offsets: [13, 25] } }, 25), '"b" begins at byte 13'],
    [safetensors({ a: weight }, 12, 2 ** 40), "the format allows 100000000"],
    [safetensors("{", 0), "is not JSON"],
    [safetensors("[]", 0), "not an object"],
  ];
  for (const [bytes, message] of cases) {
    const error = await assertRejects(() => read(bytes), LoraFleetError, message);
    assertEquals(error.code, "invalid_model");
  }
});

Deno.test("a file that cannot be opened is named", async () => {
  const error = await assertRejects(
    () => readTensorHeaders("/no/model.safetensors", "model.safetensors"),
    LoraFleetError,
    '"model.safetensors" cannot be read',
  );
  assertEquals(error.code, "invalid_model");
});

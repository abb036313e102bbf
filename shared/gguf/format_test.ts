import { assertEquals } from "@std/assert";
import { goldenPath } from "../../tests/golden/golden.ts";
import { encodeGgufHeader, type GgufMetadata, ggufSize, paddingAfter } from "./format.ts";
import { interleaveHeads } from "./tensor_names.ts";
import { TENSOR_TYPES, tensorBytes } from "./tensor_types.ts";

const GOLDEN = JSON.parse(Deno.readTextFileSync(goldenPath("exports/gguf.json")));
const bytesOf = (key: string) => Uint8Array.fromBase64(GOLDEN[key]);

Deno.test("a GGUF file has the bytes of Python's own writer", () => {
  const metadata: GgufMetadata = [
    ["general.architecture", { type: "string", value: "llama" }],
    ["general.type", { type: "string", value: "model" }],
    ["llama.block_count", { type: "u32", value: 2 }],
    ["llama.rope.freq_base", { type: "f32", value: 10000.5 }],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: true }],
    ["tokenizer.ggml.tokens", { type: "strings", value: ["a", "▁b", ""] }],
    ["tokenizer.ggml.token_type", { type: "i32s", value: [1, 3, 6] }],
    ["tokenizer.ggml.scores", { type: "f32s", value: [0, -1.5, -2] }],
  ];
  const matrix = TENSOR_TYPES.F16.encode(Float32Array.from({ length: 15 }, (_, i) => i / 4));
  const vector = TENSOR_TYPES.F32.encode(Float32Array.of(1, 2.5, -3));
  const tensors = [
    { name: "matrix", shape: [3, 5], typeId: TENSOR_TYPES.F16.id, bytes: matrix.length },
    { name: "vector", shape: [3], typeId: TENSOR_TYPES.F32.id, bytes: vector.length },
  ];
  const header = encodeGgufHeader(metadata, tensors);
  const padded = (bytes: Uint8Array) => [...bytes, ...new Uint8Array(paddingAfter(bytes.length))];
  const file = Uint8Array.from([...header, ...padded(matrix), ...padded(vector)]);
  assertEquals(file, bytesOf("small"));
  assertEquals(ggufSize(header, tensors), file.length);
});

Deno.test("Q8_0 has the bytes of gguf's quantiser, a block of zeros included", () => {
  const values = new Float32Array(bytesOf("values").buffer);
  const encoded = TENSOR_TYPES.Q8_0.encode(values);
  assertEquals(encoded, bytesOf("q8_0"));
  assertEquals(encoded.length, tensorBytes("Q8_0", values.length));
});

Deno.test("heads are interleaved as llama.cpp's script permutes them", () => {
  const rows = Float32Array.from({ length: 24 }, (_, i) => i);
  assertEquals([...interleaveHeads(rows, 4, 3)], GOLDEN.permuted.flat());
});

import { assert, assertEquals, assertRejects } from "@std/assert";
import { brokenModel } from "../../tests/golden/broken_model.ts";
import { type LadderCaseName, loadLadderCase } from "../../tests/golden/golden.ts";
import { gradientOf, loadGoldenModel } from "../../tests/golden/golden_model.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import type { Dtype } from "../../shared/model/safetensors_dtype.ts";
import { toFloat32 } from "../../shared/model/safetensors_dtype.ts";
import { testGpu } from "../device/testing/test_gpu.ts";
import type { FloatFormat } from "../kernels/elementwise/half_floats.ts";
import { halvesOf } from "../kernels/testing/half_inputs.ts";
import { randomNormal, testPrng } from "../kernels/testing/random_inputs.ts";
import { loadTable } from "./tables.ts";

const isTable = (name: string) => /embed_tokens|lm_head/.test(name);

/** The case's base model with its tables stored in f32: the same numbers. */
function inFloats(name: LadderCaseName) {
  return brokenModel(name, {
    tensors: (tensors) =>
      tensors.map((tensor) => {
        if (!isTable(tensor.name)) return tensor;
        const data = toFloat32(tensor.dtype, tensor.data as Uint8Array<ArrayBuffer>)!;
        return { ...tensor, dtype: "F32", data };
      }),
  });
}

/** Untied bf16, tied bf16 whose embeddings have a factor, untied f16; chunks of the vocabulary of 12, 12 and 25 rows. */
const CASES: readonly [name: LadderCaseName, tables: number, logitsChunkBytes: number][] = [
  ["mistral_window", 2, 2000],
  ["gemma3_ropes", 1, 2000],
  ["qwen2_rslora", 2, 4000],
];

for (const [name, tables, logitsChunkBytes] of CASES) {
  Deno.test(`${name}: tables in 16 bits on the GPU give the bits of the same tables in f32, in half their memory`, async () => {
    const golden = loadLadderCase(name);
    await using floats = await inFloats(name);
    for (const changes of [{}, { logitsChunkBytes }]) {
      const half = await loadGoldenModel(golden, changes);
      const whole = await loadGoldenModel(golden, { ...changes, modelFolder: floats.folder });
      assert(!("logitsChunkBytes" in changes) || half.weights.head.length > 3);
      for (const { batch } of golden.batches) {
        assertEquals(await gradientOf(half, batch), await gradientOf(whole, batch));
      }
      const tableBytes = tables * 4 * half.spec.vocabSize * half.spec.hiddenSize;
      assertEquals(whole.plannedBytes - half.plannedBytes, tableBytes / 2);
      const format = name === "qwen2_rslora" ? "f16" : "bf16";
      assert(half.planText.includes(`base model, ${format}`), half.planText);
    }
  });
}

/** A table as a checkpoint hands it out, in pieces of so many bytes. */
function storedAs(dtype: Dtype, bytes: Uint8Array<ArrayBuffer>, pieceBytes: number) {
  return {
    dtypeOf: () => dtype,
    async *readPieces() {
      const room = new Uint8Array(pieceBytes);
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        room.set(bytes.subarray(at, at + pieceBytes));
        yield await Promise.resolve(room.subarray(0, Math.min(pieceBytes, bytes.length - at)));
      }
    },
  };
}

Deno.test("a table of odd rows comes in pieces that cross slabs; a slab of an odd number of halves is padded", async () => {
  const gpu = await testGpu();
  const [rows, columns, slabRows] = [13, 7, 5];
  const values = randomNormal(testPrng("table"), rows * columns);
  const stored: readonly [Dtype, FloatFormat, ArrayBufferView<ArrayBuffer>][] = [
    ["BF16", "bf16", halvesOf("bf16", values)],
    ["F16", "f16", halvesOf("f16", values)],
    ["F32", "f32", values.slice()],
    ["F64", "f32", Float64Array.from(values)],
  ];
  for (const [dtype, format, { buffer }] of stored) {
    const bytes = new Uint8Array(buffer);
    const expected = dtype === "F64" ? new Uint8Array(values.slice().buffer) : bytes;
    const rowBytes = expected.length / rows;
    for (const pieceBytes of [8, 40, 1024]) {
      const slabs = await loadTable(gpu, storedAs(dtype, bytes, pieceBytes), "t", [rows, columns], slabRows);
      assertEquals(slabs.map(({ firstRow, rowCount, format }) => [firstRow, rowCount, format]), [
        [0, 5, format],
        [5, 5, format],
        [10, 3, format],
      ]);
      for (const { tensor, firstRow, rowCount } of slabs) {
        const found = new Uint8Array(await gpu.read(tensor));
        const part = expected.subarray(firstRow * rowBytes, (firstRow + rowCount) * rowBytes);
        assertEquals(found.subarray(0, part.length), part, `${dtype} by ${pieceBytes}`);
        assertEquals(found.length, Math.ceil(part.length / 4) * 4);
      }
      gpu.free(slabs.map(({ tensor }) => tensor));
    }
  }
});

Deno.test("a table of integers is refused by its name", async () => {
  const golden = loadLadderCase("gqa_tied");
  const name = "model.embed_tokens.weight";
  await using model = await brokenModel("gqa_tied", {
    tensors: (tensors) =>
      tensors.map((tensor) => tensor.name === name ? { ...tensor, dtype: "I32" as const } : tensor),
  });
  const error = await assertRejects(
    () => loadGoldenModel(golden, { modelFolder: model.folder }),
    LoraFleetError,
    `tensor "${name}" is I32, not floating-point`,
  );
  assertEquals(error.code, "invalid_model");
});

Deno.test("pieces of a checkpoint's tensor are its bytes, in order, a tied output layer's those of the embeddings", async () => {
  const checkpoint = await openCheckpoint(loadLadderCase("qwen3_tied").modelFolder);
  const { vocabSize, hiddenSize } = checkpoint.spec;
  for (const name of ["model.embed_tokens.weight", "lm_head.weight"]) {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for await (const piece of checkpoint.readPieces(name, [vocabSize, hiddenSize])) {
      pieces.push(piece.slice());
    }
    const bytes = new Uint8Array(await new Blob(pieces).arrayBuffer());
    assertEquals(
      toFloat32(checkpoint.dtypeOf(name), bytes),
      await checkpoint.readTensor(name, [vocabSize, hiddenSize]),
    );
  }
});

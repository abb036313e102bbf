import { assert, assertEquals } from "@std/assert";
import { bytesOf, toFloat32 } from "../../../shared/model/safetensors_dtype.ts";
import { modelNamed } from "../../lens/models.ts";
import { randomCheckpoint } from "./random_checkpoint.ts";

Deno.test("tables are random, finite and of a trained model's size, in each dtype: not the zeros that cost a GPU nothing", async () => {
  for (const [torchDtype, dtype] of [["bfloat16", "BF16"], ["float16", "F16"], ["float32", "F32"]] as const) {
    const checkpoint = randomCheckpoint({ ...modelNamed("smollm2-135m"), torchDtype });
    const shape = [5000, 576] as const;
    const pieces = await Array.fromAsync(checkpoint.readPieces("model.embed_tokens.weight", shape));
    const byteLength = pieces.reduce((sum, piece) => sum + piece.length, 0);
    assertEquals(byteLength, bytesOf(dtype, 5000 * 576), dtype);
    const values = toFloat32(dtype, new Uint8Array(pieces[0]!))!;
    const square = values.reduce((sum, value) => sum + value * value, 0) / values.length;
    assert(Math.abs(Math.sqrt(square) - 0.02) < 0.001, `${dtype}: standard deviation ${Math.sqrt(square)}`);
    assert(new Set(values.subarray(0, 576)).size > 100, dtype);
  }
});

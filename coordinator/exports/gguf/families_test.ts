import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { architectureMetadata } from "../../../shared/gguf/architecture_metadata.ts";
import type { GgufMetadata } from "../../../shared/gguf/format.ts";
import { GGUF_FAMILIES, writeFamily } from "../../../tests/golden/exports/gguf_families.ts";
import { readDeltas } from "../../../shared/checkpoint/merge/adapter_deltas.ts";
import { openMerged } from "../../../shared/checkpoint/merge/merged_model.ts";
import { planAdapterGguf } from "./adapter_gguf.ts";
import type { GgufFile, GgufTensor } from "./gguf_file.ts";
import { planModelGguf } from "./model_gguf.ts";

/** Keys that llama.cpp derives from others where they are absent, and that are written for every family here. */
const ALWAYS = /\.(vocab_size|rope\.dimension_count|rope\.freq_base|attention\.(key|value)_length)$/;

type Tensors = Readonly<Record<string, [shape: readonly number[], sha256: string]>>;

async function hashed({ tensors }: GgufFile): Promise<Tensors> {
  const entries = await Promise.all(tensors.map(async (tensor) => (
    [tensor.name, [[...tensor.shape], await hashOf(tensor)]] as const
  )));
  return Object.fromEntries(entries.toSorted(([a], [b]) => a < b ? -1 : 1)) as Tensors;
}

async function hashOf({ pieces }: GgufTensor): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of pieces()) {
    hash.update(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength));
  }
  return hash.digest("hex").slice(0, 16);
}

const valuesOf = (metadata: GgufMetadata) =>
  Object.fromEntries(
    metadata.map(([key, { type, value }]) => [key, type === "f32" ? Math.fround(value as number) : value]),
  );

for (const [name, family] of Object.entries(GGUF_FAMILIES)) {
  Deno.test(`${name}: metadata and tensors are those of llama.cpp's own scripts`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "lorafleet-gguf-" });
    try {
      const { modelFolder, adapterPath, lora } = await writeFamily(name, folder);
      // With a scale of nearly nothing the base model stays as it is.
      const bare = { ...lora, lora_alpha: Number.MIN_VALUE };
      const source = {
        modelFolder,
        adapterPath,
        lora: bare,
        doubleQuantization: true,
        base: "original",
      } as const;
      const model = await openMerged(source);
      const planned = planModelGguf(model, "F32", name, []);
      const found = valuesOf(planned.metadata);
      // The context ends where a window, which llama.cpp does not compute for this family, would begin to matter.
      const expected = name === "phi3" ? { ...family.metadata, "phi3.context_length": 20 } : family.metadata;
      for (const [key, value] of Object.entries(expected)) assertEquals([key, found[key]], [key, value]);
      const more = Object.keys(valuesOf(architectureMetadata(model.spec))).filter((key) =>
        !(key in expected)
      );
      assertEquals(more.filter((key) => !ALWAYS.test(key)), []);
      assertEquals(await hashed(planned), family.tensors);

      const adapter = planAdapterGguf(model.spec, readDeltas(adapterPath, lora), "F32", name);
      const ours = valuesOf(adapter.metadata);
      for (const [key, value] of Object.entries(family.adapter_metadata)) assertEquals(ours[key], value);
      assert(Object.keys(family.adapter_tensors).length > 0);
      assertEquals(await hashed(adapter), family.adapter_tensors);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

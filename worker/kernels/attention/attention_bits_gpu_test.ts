/** Attention's bits: a document's do not depend on its place, and all variants of the forward give the same ones. */
import { assertEquals, assertNotEquals } from "@std/assert";
import { encodeAttention, encodeAttentionBackward } from "./attention.ts";
import { attentionInputs, documents } from "../testing/attention_cases.ts";
import type { AttentionVariant } from "./attention_kernels.ts";
import { testGpu } from "../../device/testing/test_gpu.ts";

const HEADS = { headCount: 6, kvHeadCount: 2, headDim: 20, scale: 0.3 };
const VARIANTS: AttentionVariant[] = ["rows on a CPU", "rows on a GPU", "tiles"];

/** The document under test; others may lie before and after it. */
const LENGTH = 77;
const document = attentionInputs({ ...HEADS, name: "the document", lengths: [LENGTH] }, 2);

/** The bits of the document's rows, forward and backward, between `before` and `after` tokens of other documents. */
async function bitsOf(variant: AttentionVariant, before: number, after: number, window?: number) {
  const gpu = await testGpu();
  const tokenCount = before + LENGTH + after;
  const others = attentionInputs({ ...HEADS, name: "others", lengths: [tokenCount] });
  const lengths = [before, LENGTH, after].filter((length) => length > 0);
  const { keyStarts, keyEnds, queryEnds } = documents(lengths, window);
  const [queryColumns, keyColumns] = [HEADS.headCount * HEADS.headDim, HEADS.kvHeadCount * HEADS.headDim];
  const place = (around: Float32Array, own: Float32Array, columns: number) => {
    around.set(own, before * columns);
    return gpu.upload("input", around);
  };
  const q = place(others.q, document.q, queryColumns);
  const k = place(others.k, document.k, keyColumns);
  const v = place(others.v, document.v, keyColumns);
  const dOut = place(others.dOut, document.dOut, queryColumns);
  const [starts, ends, lasts] = [keyStarts, keyEnds, queryEnds].map((x) => gpu.upload("range", x));
  const rows = { out: queryColumns, dq: queryColumns, dk: keyColumns, dv: keyColumns };
  const output = (columns: number) => gpu.allocate("output", tokenCount * columns * 4);
  const [out, dq, dk, dv] = Object.values(rows).map(output);
  const [lse, delta] = [output(HEADS.headCount), output(HEADS.headCount)];
  const call = { q, k, v, out: out!, lse, keyStarts: starts!, variant, ...HEADS };
  encodeAttention(gpu.pass, { ...call, keyEnds: ends!, queryCount: tokenCount });
  encodeAttentionBackward(gpu.pass, {
    ...call,
    dOut,
    delta,
    dq: dq!,
    dk: dk!,
    dv: dv!,
    queryEnds: lasts!,
    tokenCount,
  });
  const bits: Record<string, Uint32Array> = {};
  for (const [name, tensor] of Object.entries({ out: out!, dq: dq!, dk: dk!, dv: dv! })) {
    const columns = rows[name as keyof typeof rows];
    const words = new Uint32Array(await gpu.read(tensor));
    bits[name] = words.slice(before * columns, (before + LENGTH) * columns);
  }
  for (const [name, tensor] of Object.entries({ lse, delta })) {
    const words = new Uint32Array(await gpu.read(tensor));
    bits[name] = new Uint32Array(HEADS.headCount * LENGTH).map((_, i) =>
      words[Math.floor(i / LENGTH) * tokenCount + before + i % LENGTH]!
    );
  }
  return bits;
}

for (const variant of VARIANTS) {
  Deno.test(`attention, ${variant}: a document's bits do not depend on its place`, async () => {
    const alone = await bitsOf(variant, 0, 0);
    assertEquals(await bitsOf(variant, 1, 3), alone);
    assertEquals(await bitsOf(variant, 45, 30), alone);
  });

  Deno.test(`attention, ${variant}: so it is within a window, whose bits are those of no window if it is long`, async () => {
    const alone = await bitsOf(variant, 0, 0, 9);
    assertEquals(await bitsOf(variant, 45, 30, 9), alone);
    assertNotEquals(alone, await bitsOf(variant, 0, 0));
    assertEquals(await bitsOf(variant, 1, 3, LENGTH), await bitsOf(variant, 0, 0));
  });
}

Deno.test("attention: all variants of the forward give the same bits", async () => {
  const expected = await bitsOf("tiles", 13, 0);
  for (const variant of ["rows on a CPU", "rows on a GPU"] as const) {
    const bits = await bitsOf(variant, 13, 0);
    for (const name of ["out", "lse"]) assertEquals(bits[name], expected[name], `${name}, ${variant}`);
  }
});

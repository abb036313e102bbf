import { assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { canonicalJson, specHash } from "./job_spec_hash.ts";
import { jobSpecSchema } from "./job_spec_schema.ts";

const MINIMAL = { model: "org/llama", training_file: "file-1" };

Deno.test("the hash depends on values alone, not on their order", () => {
  const hash = (body: unknown) => specHash(jobSpecSchema.parse(body));
  const a = hash({ ...MINIMAL, lora: { r: 4, lora_alpha: 8 } });
  assertEquals(a, hash({ lora: { lora_alpha: 8, r: 4 }, training_file: "file-1", model: "org/llama" }));
  assertNotEquals(a, hash({ ...MINIMAL, lora: { r: 4, lora_alpha: 9 } }));
  assertMatch(a, /^[0-9a-f]{64}$/);
  const spec = jobSpecSchema.parse(MINIMAL);
  assertNotEquals(specHash(spec, { modelHash: "a" }), specHash(spec, { modelHash: "b" }));
});

Deno.test("canonical JSON: sorted keys, and nothing that JSON has no word for", () => {
  assertEquals(
    canonicalJson({ b: [1, null, true], a: { d: "x\n", c: undefined } }),
    '{"a":{"d":"x\\n"},"b":[1,null,true]}',
  );
  assertThrows(() => canonicalJson({ a: NaN }), TypeError, "NaN");
  assertThrows(() => canonicalJson(() => 1), TypeError, "function");
});

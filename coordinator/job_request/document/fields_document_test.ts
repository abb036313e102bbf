import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { FIELD_RULES, type Group, GROUPS } from "../fields.ts";
import { SHAPES } from "../known_fields.ts";
import libraryFields from "../library_fields.json" with { type: "json" };
import { DONE } from "./done.ts";
import { classify, fieldsDocument } from "./fields_document.ts";

const DOCUMENT = new URL("../../../docs/fields.md", import.meta.url);

Deno.test("docs/fields.md is what the code makes of it; `deno task fields` writes it", async () => {
  const made = fieldsDocument();
  if (Deno.args.includes("--write")) await Deno.writeTextFile(DOCUMENT, made);
  assertEquals(await Deno.readTextFile(DOCUMENT), made);
});

Deno.test("every field of the libraries' classes is done, without effect for a reason, or refused with an alternative", () => {
  const counts = { done: 0, "no effect": 0, refused: 0 };
  for (const [name, { group, fields }] of Object.entries(libraryFields)) {
    for (const field of Object.keys(fields)) {
      const { treatment, words } = classify(group as Group, field);
      counts[treatment]++;
      assert(words.length > 12, `${name}.${field}: ${words}`);
      const rule = FIELD_RULES[group as Group][field];
      if (rule?.kind === "unused") assertMatch(rule.why, /\w+ \w+ \w+/, field);
      if (rule?.kind === "only") {
        assertMatch(rule.reason, /\w+ \w+/, field);
        assertMatch(rule.remedy, /leave it out|set|use|write/, field);
      }
    }
  }
  assert(Math.min(...Object.values(counts)) > 20, JSON.stringify(counts));
});

Deno.test("every rule has its reason, and every field of a job its sentence, and no sentence is left over", () => {
  const paths = [
    "seed",
    ...GROUPS.flatMap((group) => Object.keys(SHAPES[group]).map((name) => `${group}.${name}`)),
  ];
  assertEquals(Object.keys(DONE).toSorted(), paths.toSorted());
  for (const group of GROUPS) {
    for (const field of Object.keys(FIELD_RULES[group])) assert(classify(group, field).words !== "", field);
  }
});

Deno.test("a field that nothing classifies is an error", () => {
  assertThrows(() => classify("training", "unheard_of"), RangeError, "training.unheard_of is neither");
  assertThrows(() => classify("lora", "toString"), RangeError);
});

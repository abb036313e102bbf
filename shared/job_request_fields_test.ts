import { assertEquals } from "@std/assert";
import { FIELD_RULES, GROUPS, VALUE_ALIASES } from "./job_request_fields.ts";
import { parseJobRequest } from "./job_spec.ts";
import {
  datasetSchema,
  fleetSchema,
  loraSchema,
  quantizationSchema,
  trainingSchema,
} from "./job_spec_schema.ts";

const MINIMAL = { model: "org/llama", training_file: "file-1" };
const SHAPES = {
  lora: loraSchema,
  quantization: quantizationSchema,
  training: trainingSchema,
  dataset: datasetSchema,
  fleet: fleetSchema,
};
const fieldsOf = (group: keyof typeof SHAPES) => Object.keys(SHAPES[group].shape);
const PATHS = ["seed", ...GROUPS.flatMap((group) => fieldsOf(group).map((field) => `${group}.${field}`))];

Deno.test("aliases lead to fields of the spec, and no rule stands in the way of a field", () => {
  for (const group of GROUPS) {
    for (const [field, rule] of Object.entries(FIELD_RULES[group])) {
      assertEquals(fieldsOf(group).includes(field), false, `${group}.${field}`);
      if (rule.kind === "alias") assertEquals(PATHS.includes(rule.to), true, rule.to);
    }
  }
  for (const [path, values] of Object.entries(VALUE_ALIASES)) {
    const [group, field] = path.split(".") as [string, string];
    for (const [written, meant] of Object.entries(values)) {
      const parsed: unknown = parseJobRequest({ ...MINIMAL, [group]: { [field]: written } }).spec;
      assertEquals(JSON.stringify(parsed).includes(`"${field}":"${meant}"`), true, `${path} ${written}`);
    }
  }
});

Deno.test("every value that a rule allows is accepted, in silence unless it says why", () => {
  for (const group of GROUPS) {
    for (const [field, rule] of Object.entries(FIELD_RULES[group])) {
      const warningsOf = (value: unknown) =>
        parseJobRequest({ ...MINIMAL, [group]: { [field]: value } }).warnings.length;
      assertEquals(warningsOf(null), 0, field);
      if (rule.kind === "only") {
        for (const value of rule.values) assertEquals(warningsOf(value), 0, field);
      }
      if (rule.kind === "unused") {
        for (const value of rule.quiet) assertEquals(warningsOf(value), 0, field);
        assertEquals(warningsOf("anything"), rule.note === null ? 0 : 1, field);
      }
    }
  }
});

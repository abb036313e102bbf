/** A field's type, values and default in words, from its schema. */
import { z } from "zod";

type JsonSchema = Readonly<Record<string, unknown>>;

/** For example "a number of at least 0; 0.03 if left out". */
export function valueWords(schema: unknown): string {
  const json: JsonSchema = z.toJSONSchema(schema as z.ZodType, { io: "input", unrepresentable: "any" });
  const standard = json["default"];
  const words = typeWords(json);
  return standard === undefined ? words : `${words}; ${code(standard)} if left out`;
}

export function code(value: unknown): string {
  return `\`${JSON.stringify(value)}\``;
}

function typeWords(json: JsonSchema): string {
  const options = json["anyOf"] as readonly JsonSchema[] | undefined;
  if (options !== undefined) return options.map(typeWords).join(", or ");
  if (json["const"] !== undefined) return `only ${code(json["const"])}`;
  const listed = json["enum"] as readonly unknown[] | undefined;
  if (listed !== undefined) return listed.map(code).join(", ");
  switch (json["type"]) {
    case "boolean":
      return "true or false";
    case "string":
      return "a text";
    case "null":
      return "`null`";
    case "array":
      return `a list of ${typeWords((json["items"] ?? {}) as JsonSchema).replace(/^an? (.*)$/, "$1s")}`;
    case "integer":
      return `a whole number${rangeWords(json)}`;
    case "number":
      return `a number${rangeWords(json)}`;
    default:
      return "an object of fields";
  }
}

function rangeWords(json: JsonSchema): string {
  const bounds = [
    ["exclusiveMinimum", "above"],
    ["minimum", "of at least"],
    ["exclusiveMaximum", "below"],
    ["maximum", "of at most"],
  ].flatMap(([key, words]) => {
    const bound = json[key!];
    return typeof bound !== "number" || Math.abs(bound) === Number.MAX_SAFE_INTEGER
      ? []
      : [`${words} ${bound}`];
  });
  return bounds.length === 0 ? "" : ` ${bounds.join(" and ")}`;
}

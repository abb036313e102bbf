/** RunPod's OpenAPI document as checks of requests and of answers. */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import document from "./openapi.json" with { type: "json" };

interface Parameter {
  readonly name: string;
  readonly in: "query" | "path" | "header";
  readonly schema: { readonly type?: string; readonly $ref?: string };
  readonly required?: boolean;
}
interface Operation {
  readonly parameters?: readonly (Parameter | { readonly $ref: string })[];
  readonly requestBody?: { readonly content: Record<string, { readonly schema: object }> };
  readonly responses: Record<string, Response | { readonly $ref: string }>;
}
interface Response {
  readonly content?: Record<string, { readonly schema: object }>;
}
type Path = Record<string, Operation> & { readonly parameters?: readonly Parameter[] };

/** Formats say nothing about shapes that RunPod would refuse. */
const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true, coerceTypes: false });
const ROOT = "runpod";
ajv.addSchema({ $id: ROOT, components: document.components }, ROOT);
/** Query values are texts. */
const queryAjv = new Ajv2020({ strict: false, validateFormats: false, coerceTypes: "array" });
queryAjv.addSchema({ $id: ROOT, components: document.components }, ROOT);

/** Compiled once: a test asks thousands of times. */
const compiled = new Map<object, ValidateFunction>();

/** Null if the value is as the document has it. */
function faultOf(schema: object, value: unknown): string | null {
  const validate = compiled.get(schema) ?? ajv.compile(rooted(schema));
  compiled.set(schema, validate);
  return validate(value) ? null : ajv.errorsText(validate.errors);
}

/** Makes `$ref`s of the document absolute, so that a part of it can be compiled alone. */
function rooted<T>(value: T): T {
  return JSON.parse(JSON.stringify(value).replaceAll('"#/', `"${ROOT}#/`));
}

function resolve<T>(value: T | { readonly $ref: string }): T {
  if (typeof value !== "object" || value === null || !("$ref" in value)) return value as T;
  // deno-lint-ignore no-explicit-any
  return value.$ref.split("/").slice(1).reduce((at: any, name) => at[name], document) as T;
}

export interface Found {
  /** As in the document, such as `/v2/pods/{id}`. */
  readonly template: string;
  readonly method: string;
  readonly id: string | null;
  readonly operation: Operation;
  readonly shared: readonly Parameter[];
}

/** Null: the document has no such operation. */
export function findOperation(method: string, pathname: string): Found | null {
  for (const [template, path] of Object.entries(document.paths as unknown as Record<string, Path>)) {
    const pattern = new RegExp(`^${template.replace("{id}", "([^/]+)")}$`);
    const match = pattern.exec(pathname);
    const operation = path[method.toLowerCase()];
    if (match === null || operation === undefined) continue;
    const id = match[1] === undefined ? null : decodeURIComponent(match[1]);
    return { template, method: method.toLowerCase(), id, operation, shared: path.parameters ?? [] };
  }
  return null;
}

/** What RunPod would refuse with 422: empty if nothing. */
export function checkRequest(found: Found, query: URLSearchParams, body: unknown): string[] {
  const { operation, shared } = found;
  const known = [...shared, ...(operation.parameters ?? []).map((parameter) => resolve<Parameter>(parameter))]
    .filter((parameter) => parameter.in === "query");
  const errors: string[] = [];
  for (const [name, text] of query) {
    const parameter = known.find((candidate) => candidate.name === name);
    if (parameter === undefined) {
      errors.push(`query: ${name} is not known`);
      continue;
    }
    const schema = resolve<{ readonly type?: string }>(parameter.schema);
    const value = { value: schema.type === "array" ? text.split(",") : text };
    const wrapped = { type: "object", properties: { value: rooted(parameter.schema) } };
    if (!queryAjv.validate(wrapped, value)) errors.push(`query: ${name}: ${queryAjv.errorsText()}`);
  }
  const content = operation.requestBody?.content["application/json"];
  const fault = content === undefined ? null : faultOf(content.schema, body);
  return fault === null ? errors : [...errors, fault];
}

/** Throws if the test server would answer what RunPod never does. */
export function checkAnswer({ operation, template, method }: Found, status: number, body: unknown): void {
  const answer = operation.responses[String(status)] ?? operation.responses["default"];
  const content = Object.values(resolve<Response>(answer!).content ?? {})[0];
  if (content === undefined) {
    if (body === null) return;
    throw new Error(`${method} ${template} has no body with ${status}`);
  }
  const fault = faultOf(content.schema, body);
  if (fault === null) return;
  throw new Error(
    `${method} ${template} never answers ${JSON.stringify(body)} with ${status}: ${fault}`,
  );
}

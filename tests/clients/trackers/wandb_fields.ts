/**
 * The fields of recorded requests to W&B, with the types of their values: `wandb_fields.ts RECORD.json` prints those of a record.
 * JSON within JSON (a run's config, rows of its history) is opened as well.
 */
import type { RecordedRequest } from "./wandb_recorder.ts";

/** Of each kind of request: path of a field → types of its values, sorted. */
export type Fields = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

/** Headers of HTTP, not of W&B. */
const TRANSPORT = ["accept", "accept-encoding", "accept-language", "connection", "content-length", "host"];

/** Requests that have no counterpart here, and why. */
export const NOT_OURS: Readonly<Record<string, string>> = {
  "PUT /upload/requirements.txt": "lists the packages of a Python process",
  "POST /sdk/otel": "measures W&B's own client",
};

/** Values that only W&B's client has, and why. */
const NOT_OUR_VALUES: Readonly<Record<string, string>> = {
  "config⟨json⟩._wandb.value.t.3[]": "numbers of features of W&B's client that a program has used",
};

export function fieldsOf(requests: readonly RecordedRequest[]): Fields {
  const kinds: Record<string, Record<string, Set<string>>> = {};
  for (const request of requests) {
    const kind = kindOf(request);
    if (Object.keys(NOT_OURS).some((other) => kind.startsWith(other))) continue;
    const fields = kinds[kind] ??= {};
    for (const name of Object.keys(request.headers)) {
      if (!TRANSPORT.includes(name)) add(fields, `header ${name}`, "");
    }
    if (kind.includes("graphql")) addInputs(fields, request.body as { query: string });
    visit(fields, "", bodyOf(request));
  }
  return Object.fromEntries(
    Object.entries(kinds).map(([kind, fields]) => [
      kind,
      Object.fromEntries(
        Object.entries(fields).toSorted(([a], [b]) => a < b ? -1 : 1).map((
          [path, types],
        ) => [path, [...types].toSorted()]),
      ),
    ]),
  );
}

function kindOf({ method, path, body }: RecordedRequest): string {
  const operation = path === "/graphql" ? ` ${(body as { operationName: string }).operationName}` : "";
  return `${method} ${
    path.split("?")[0]!.replace(/^\/files\/.*\/file_stream$/, "/files/…/file_stream")
  }${operation}`;
}

function bodyOf({ body, text, path }: RecordedRequest): unknown {
  if (path === "/graphql") return (body as { variables: unknown }).variables;
  return body ?? parse(text) ?? yamlKeys(text);
}

/** The outermost keys of a YAML file. */
function yamlKeys(text: string): object {
  return Object.fromEntries(Array.from(text.matchAll(/^([\w.]+):$/gm), ([, key]) => [key, {}]));
}

/** The names within `input: {…}`, which the server reads. */
function addInputs(fields: Record<string, Set<string>>, { query }: { readonly query: string }): void {
  const [, inputs = ""] = /input:\s*\{([^}]*)\}/.exec(query) ?? [];
  for (const [, name] of inputs.matchAll(/(\w+):/g)) add(fields, `input ${name}`, "");
}

function visit(fields: Record<string, Set<string>>, path: string, value: unknown): void {
  const inner = typeof value === "string" && value.startsWith("{") ? parse(value) : null;
  if (inner !== null) return visit(fields, `${path}⟨json⟩`, inner);
  if (Array.isArray(value)) {
    add(fields, path, "array");
    return value.forEach((item) => visit(fields, `${path}[]`, item));
  }
  if (typeof value !== "object" || value === null) {
    return add(fields, path, value === null ? "null" : typeof value);
  }
  for (const [key, item] of Object.entries(value)) {
    // What ran where is kept under the id of the process.
    const name = path.endsWith("_wandb.value.e") ? "*" : key;
    const at = path === "" ? name : `${path}.${name}`;
    if (typeof item === "object" && item !== null && !Array.isArray(item)) add(fields, at, "object");
    visit(fields, at, item);
  }
}

function add(fields: Record<string, Set<string>>, path: string, type: string): void {
  if (Object.hasOwn(NOT_OUR_VALUES, path)) return;
  (fields[path] ??= new Set()).add(type);
}

/** JSON in Python's manner; null if it is none. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text.replaceAll(/([:[,]\s*)(?:NaN|-?Infinity)/g, "$10"));
  } catch {
    return null;
  }
}

/** Fields of `theirs` that `ours` lacks, and fields whose values have types that theirs never have. */
export function differences(ours: Fields, theirs: Fields): string[] {
  return Object.entries(theirs).flatMap(([kind, fields]) =>
    Object.entries(fields).flatMap(([path, types]) => {
      const own = ours[kind]?.[path];
      if (own === undefined) return [`${kind}: ${path} is missing`];
      const others = own.filter((type) => !types.includes(type));
      return others.length === 0 ? [] : [`${kind}: ${path} is ${others.join()}, not ${types.join()}`];
    })
  );
}

if (import.meta.main) {
  const record: RecordedRequest[] = JSON.parse(await Deno.readTextFile(Deno.args[0] ?? ""));
  const agent = record.map(({ body }) => /"cli_version\\*":\\*"([\d.]+)/.exec(JSON.stringify(body))?.[1])
    .find(Boolean);
  console.log(
    JSON.stringify(
      { wandb: agent, notOurs: { ...NOT_OURS, ...NOT_OUR_VALUES }, requests: fieldsOf(record) },
      null,
      1,
    ),
  );
}

/**
 * Cuts RunPod's OpenAPI document down to what `deploy/runpod` uses, without prose: `openapi.json` beside this file.
 *
 *     deno run -A tests/runpod/make_document.ts <path or URL of the whole document>
 *
 * The committed one is from https://github.com/runpod/docs, api-reference-v2/openapi.json as of commit 098c7fb0c6c3
 * (2026-08-18); https://api.runpod.io/v2/openapi.json is the newest.
 */

/** Paths with their methods. */
const USED: Readonly<Record<string, readonly string[]>> = {
  "/v2/pods": ["get", "post"],
  "/v2/pods/{id}": ["get", "delete"],
  "/v2/pods/{id}/logs": ["get"],
  "/v2/catalog/gpus": ["get"],
  "/v2/network-volumes/{id}": ["get"],
};

/** Of documents for people; a property may have one of these names, too. */
const PROSE = new Set([
  "description",
  "summary",
  "tags",
  "x-codeSamples",
  "examples",
  "example",
  "x-enum-varnames",
]);

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

function withoutProse(value: Json, isMap = false): Json {
  if (Array.isArray(value)) return value.map((item) => withoutProse(item));
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).filter(([name]) => isMap || !PROSE.has(name));
  return Object.fromEntries(
    kept.map(([name, item]) => [name, withoutProse(item, ["properties", "schemas"].includes(name))]),
  );
}

/** All `$ref`s below a value. */
function* references(value: Json): Generator<string> {
  if (Array.isArray(value)) { for (const item of value) yield* references(item); }
  else if (value !== null && typeof value === "object") {
    if (typeof value["$ref"] === "string") yield value["$ref"];
    for (const item of Object.values(value)) yield* references(item);
  }
}

const [source] = Deno.args;
if (source === undefined) throw new Error("the path or URL of the whole document is missing");
const text = /^https?:/.test(source) ? await (await fetch(source)).text() : await Deno.readTextFile(source);
// deno-lint-ignore no-explicit-any
const whole = JSON.parse(text) as any;

const paths: { [name: string]: Json } = {};
for (const [path, methods] of Object.entries(USED)) {
  const kept = Object.entries(whole.paths[path]).filter(([name]) =>
    name === "parameters" || methods.includes(name)
  );
  paths[path] = withoutProse(Object.fromEntries(kept) as Json);
}
const components: { [kind: string]: { [name: string]: Json } } = {};
const open = [...references(paths)];
for (let reference = open.pop(); reference !== undefined; reference = open.pop()) {
  const [, , kind, name] = reference.split("/") as [string, string, string, string];
  if (components[kind]?.[name] !== undefined) continue;
  const found = withoutProse(whole.components[kind][name]);
  (components[kind] ??= {})[name] = found;
  open.push(...references(found));
}
const { openapi, info: { title, version }, servers: [{ url }] } = whole;
const cut = { openapi, info: { title, version }, servers: [{ url }], paths, components };
await Deno.writeTextFile(new URL("./openapi.json", import.meta.url), `${JSON.stringify(cut, null, 1)}\n`);

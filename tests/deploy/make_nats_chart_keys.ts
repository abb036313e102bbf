/**
 * Writes nats_chart_keys.json: the values that NATS' own Helm chart knows, each with the type of its default. The chart has no
 * schema, and Helm ignores what a chart does not know.
 *
 *     git clone --depth 1 https://github.com/nats-io/k8s
 *     deno run -A tests/deploy/make_nats_chart_keys.ts k8s/helm/charts/nats
 */
import { fromFileUrl } from "@std/path";
import { parse } from "@std/yaml";

/** A value by its key, or the type of a default; "any" for null, "map" for one that is empty. */
type Keys = { readonly [key: string]: Keys | string };

function keysOf(values: Record<string, unknown>): Keys {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, typeOf(value)]));
}

function typeOf(value: unknown): Keys | string {
  if (value === null || value === undefined) return "any";
  if (Array.isArray(value)) return "list";
  if (typeof value !== "object") return typeof value;
  return Object.keys(value).length === 0 ? "map" : keysOf(value as Record<string, unknown>);
}

if (import.meta.main) {
  const [chart] = Deno.args;
  const read = async (name: string) =>
    parse(await Deno.readTextFile(`${chart}/${name}`)) as Record<string, unknown>;
  const { name, version } = await read("Chart.yaml");
  const made = {
    from: `values.yaml of the Helm chart ${name} ${version}, https://github.com/nats-io/k8s, Apache-2.0`,
    version,
    keys: keysOf(await read("values.yaml")),
  };
  const path = fromFileUrl(new URL("nats_chart_keys.json", import.meta.url));
  await Deno.writeTextFile(path, `${JSON.stringify(made, null, 1)}\n`);
  console.log(path);
}

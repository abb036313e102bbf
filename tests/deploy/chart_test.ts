/** The chart's own files; what its templates make is tested as Kubernetes' (deploy/kubernetes/manifests_test.ts). */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { parse } from "@std/yaml";
import { z } from "zod";
import { root } from "../documents/named_tests.ts";

const folder = join(root, "deploy/kubernetes/chart");
const version = z.string().regex(/^\d+\.\d+\.\d+(-[\w.]+)?$/);

/** https://helm.sh/docs/topics/charts/#the-chartyaml-file, as far as it is used. */
const chartSchema = z.strictObject({
  apiVersion: z.literal("v2"),
  name: z.string().regex(/^[a-z][a-z0-9-]*$/),
  version,
  kubeVersion: z.string().regex(/^[<>=]+\d+\.\d+\.\d+(-\d+)?$/),
  description: z.string().min(1),
  type: z.enum(["application", "library"]),
  appVersion: version,
});

async function templates(): Promise<string> {
  const texts: string[] = [];
  for (const { name } of Deno.readDirSync(join(folder, "templates"))) {
    texts.push(await Deno.readTextFile(join(folder, "templates", name)));
  }
  return texts.join("\n");
}

Deno.test("Chart.yaml has Helm's form", async () => {
  const chart = parse(await Deno.readTextFile(join(folder, "Chart.yaml"))) as object;
  assertEquals(chartSchema.parse(chart).name, "lorafleet");
  assert(!chartSchema.safeParse({ ...chart, appversion: "1" }).success);
});

Deno.test("templates and values.yaml have the same values: none is read in vain, none is there in vain", async () => {
  const values = parse(await Deno.readTextFile(join(folder, "values.yaml"))) as Record<string, unknown>;
  const text = await templates();
  const has = (path: readonly string[]) => {
    let at: unknown = values;
    for (const key of path) at = (at as Record<string, unknown> | undefined)?.[key];
    return at !== undefined;
  };
  const read = [...text.matchAll(/\.Values\.([\w.]+)/g)].map(([, path]) => path!);
  assert(read.length > 15);
  assertEquals(read.filter((path) => !has(path.split("."))), []);
  const isRead = (path: string) => read.some((one) => one === path || path.startsWith(`${one}.`));
  const leaves = (value: unknown, path: string): string[] =>
    value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 0
      ? Object.entries(value).flatMap(([key, inner]) => leaves(inner, path === "" ? key : `${path}.${key}`))
      : [path];
  assertEquals(leaves(values, "").filter((path) => !isRead(path)), []);
  const [worker] = values["workers"] as Record<string, unknown>[];
  const range = text.slice(text.indexOf("range .Values.workers"));
  assertEquals(Object.keys(worker!).filter((key) => !new RegExp(`[\\s(]\\.${key}\\b`).test(range)), []);
});

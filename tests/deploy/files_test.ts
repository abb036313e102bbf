/** Every file under deploy/ that is not TypeScript has a test that reads it as its tool does; a new file needs one as well. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { parse as parseYaml } from "@std/yaml";
import { z } from "zod";
import { missingTests, root } from "../documents/named_tests.ts";
import { deployedFiles } from "./deployed_files.ts";

const SCRIPTS = ["tests/deploy/scripts_test.ts", "each script is one in its language"] as const;
const CLOUDS = ["deploy/clouds/clouds_test.ts", "SkyPilot, dstack and cloud-init accept the files"] as const;
const COMPOSE = [
  "deploy/containers/compose_test.ts",
  "compose.yaml follows the Compose Specification's schema",
] as const;
const KUBERNETES = [
  "deploy/kubernetes/manifests_test.ts",
  "every manifest follows Kubernetes' strict schema",
] as const;
const DEMO = "tests/deploy/demo_files_test.ts";
const OBSERVE = "deploy/observe/observe_files_test.ts";
const CHART = "tests/deploy/chart_test.ts";

/** By path below deploy/, the test that reads the file and its title. A schema is read where it is what a file is held against. */
const CHECKS: readonly (readonly [path: RegExp, test: string, title: string])[] = [
  [/\.(sh|ps1|py)$/, ...SCRIPTS],
  [/^clouds\/[\w.-]+\.ya?ml$/, ...CLOUDS],
  [/^clouds\/schemas\/[\w-]+\.json$/, ...CLOUDS],
  [
    /^containers\/10_nvidia\.json$/,
    "tests/deploy/files_test.ts",
    "NVIDIA's EGL driver is named as libglvnd reads it",
  ],
  [
    /^containers\/Containerfile$/,
    "deploy/containers/containerfile_test.ts",
    "bases are arguments with a version",
  ],
  [/^containers\/compose\.yaml$/, ...COMPOSE],
  [/^containers\/testing\/compose_spec\.json$/, ...COMPOSE],
  [/^demo\/assets\/base\/[\w.]+$/, DEMO, "config.json, the tokenizer's files and model.safetensors are read"],
  [/^demo\/assets\/\w+\.jsonl$/, DEMO, "each of the demo's rows has a prompt and a completion"],
  [/^demo\/requirements\.txt$/, DEMO, "what the demo's scripts need of Python is named with versions"],
  [/^kubernetes\/chart\/Chart\.yaml$/, CHART, "Chart.yaml has Helm's form"],
  [/^kubernetes\/chart\/values\.yaml$/, CHART, "templates and values.yaml have the same values"],
  [
    /^kubernetes\/chart\/templates\/[\w.]+$/,
    KUBERNETES[0],
    "the rendered files are those of the chart as it is now",
  ],
  [/^kubernetes\/lorafleet\.yaml$/, ...KUBERNETES],
  [/^kubernetes\/testing\/branches\.yaml$/, ...KUBERNETES],
  [/^kubernetes\/testing\/schemas\.json$/, ...KUBERNETES],
  [
    /^kubernetes\/nats-values\.yaml$/,
    "tests/deploy/nats_values_test.ts",
    "nats-values.yaml has keys and types of NATS' chart",
  ],
  [/^observe\/alerts\.yml$/, OBSERVE, "alert rules have Prometheus's form"],
  [/^observe\/alerts_test\.yml$/, OBSERVE, "the rules' own tests have promtool's form"],
  [/^observe\/prometheus\.yml$/, OBSERVE, "Prometheus's configuration has its form"],
  [/^observe\/dashboard\.json$/, OBSERVE, "the dashboard's panels have ids of their own"],
];

const below = (path: string) => path.slice("deploy/".length);

Deno.test("every file under deploy/ has exactly one test that reads it, and that test is there", async () => {
  const files = await deployedFiles();
  assert(files.length > 30);
  const counts = files.map((path) => [path, CHECKS.filter(([pattern]) => pattern.test(below(path))).length]);
  assertEquals(
    counts.filter(([, count]) => count !== 1),
    [],
    "add a row to CHECKS, with a test that reads the file",
  );
  const unused = CHECKS.filter(([pattern]) => !files.some((path) => pattern.test(below(path))));
  assertEquals(unused.map(([pattern]) => pattern.source), []);
  const rows = CHECKS.map(([pattern, file, test]) => ({ what: pattern.source, file, test, rest: "" }));
  assertEquals(await missingTests(rows), []);
  // A kind of file that nobody has thought of.
  assertEquals(CHECKS.filter(([pattern]) => pattern.test("service/worker.plist")), []);
});

/** Half a file, by its end: none of these formats may be cut in two. */
const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  json: JSON.parse,
  jsonl: (text) => text.trimEnd().split("\n").map((line) => JSON.parse(line)),
  yaml: (text) => text.split(/^---$/m).map((part) => parseYaml(part)),
  yml: (text) => parseYaml(text),
};

Deno.test("what ends in .json, .jsonl or .yaml is that", async () => {
  const files = (await deployedFiles()).filter((path) => !path.includes("/templates/"));
  let count = 0;
  for (const path of files) {
    const read = READERS[path.split(".").at(-1)!];
    if (read === undefined) continue;
    const text = await Deno.readTextFile(join(root, path));
    read(text);
    let isRefused = false;
    try {
      read(`${text}\n{ "a": [`);
    } catch {
      isRefused = true;
    }
    assert(isRefused, `${path} with half an object at its end is read`);
    count++;
  }
  assert(count > 20);
});

/** https://github.com/NVIDIA/libglvnd/blob/master/src/EGL/icd_enumeration.md */
const driverSchema = z.strictObject({
  file_format_version: z.string().regex(/^1\.0\.\d+$/),
  ICD: z.strictObject({ library_path: z.string().regex(/^lib[\w.-]+\.so\.\d+$/) }),
});

Deno.test("NVIDIA's EGL driver is named as libglvnd reads it, and lies where the image looks", async () => {
  const driver = JSON.parse(await Deno.readTextFile(join(root, "deploy/containers/10_nvidia.json")));
  assertEquals(driverSchema.parse(driver).ICD.library_path, "libEGL_nvidia.so.0");
  assert(!driverSchema.safeParse({ ...driver, ICD: { path: "libEGL_nvidia.so.0" } }).success);
  const containerfile = await Deno.readTextFile(join(root, "deploy/containers/Containerfile"));
  const folder = "/usr/share/glvnd/egl_vendor.d/";
  assert(containerfile.includes(folder), "the folder in which libglvnd looks for drivers");
});

/**
 * The chart as helm renders it (tests/clients/helm.sh): with its defaults, which people apply without helm, and with every branch
 * of the templates.
 */
import { assert, assertEquals } from "@std/assert";
import { dirname, fromFileUrl, join, relative } from "@std/path";
import { parse as parseYaml } from "@std/yaml";
import { Ajv2020 } from "ajv/dist/2020.js";
import { createHash } from "node:crypto";
import schemas from "./testing/schemas.json" with { type: "json" };

interface Container {
  readonly name: string;
  readonly image: string;
  readonly env: readonly { readonly name: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly readinessProbe?: { readonly exec?: { readonly command: readonly string[] } };
  readonly resources: { readonly limits: Readonly<Record<string, unknown>> };
}
interface Manifest {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly Container[] } };
    readonly selector: { readonly matchLabels?: Readonly<Record<string, string>> };
  };
}

const folder = dirname(fromFileUrl(import.meta.url));
const root = dirname(dirname(folder));
const FILES = ["lorafleet.yaml", "testing/branches.yaml"];

async function manifestsOf(file: string): Promise<readonly Manifest[]> {
  const text = await Deno.readTextFile(join(folder, file));
  return text.split(/^---$/m).map((part) => parseYaml(part) as unknown as Manifest | null)
    .filter((manifest) => manifest !== null);
}

function schemaNameOf({ kind, apiVersion }: Manifest): string {
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
  return [kind.toLowerCase(), ...group === "" ? [] : [group!.split(".")[0]], version].join("-");
}

const containersOf = (manifests: readonly Manifest[], kind: string) =>
  manifests.filter((manifest) => manifest.kind === kind).flatMap(({ spec }) => spec.template.spec.containers);

Deno.test("every manifest follows Kubernetes' strict schema", async () => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  const kinds: Readonly<Record<string, object>> = schemas.kinds;
  const problemsOf = (manifest: Manifest): string => {
    const schema = kinds[schemaNameOf(manifest)];
    assert(schema !== undefined, `no schema of ${manifest.apiVersion} ${manifest.kind}`);
    const validate = ajv.compile({ ...schema, $defs: schemas.$defs });
    return validate(manifest) ? "" : ajv.errorsText(validate.errors);
  };
  for (const file of FILES) {
    for (const manifest of await manifestsOf(file)) assertEquals(problemsOf(manifest), "", manifest.kind);
  }
  const [service] = await manifestsOf("lorafleet.yaml").then((all) =>
    all.filter(({ kind }) => kind === "Service")
  );
  assert(problemsOf({ ...service!, spec: { ...service!.spec, prots: [] } } as Manifest) !== "");
});

Deno.test("the rendered files are those of the chart as it is now (tests/clients/helm.sh renders it)", async () => {
  const files: string[] = [];
  const walk = async (path: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(path)) {
      if (isDirectory) await walk(join(path, name));
      else files.push(relative(root, join(path, name)));
    }
  };
  await walk(join(folder, "chart"));
  const hash = createHash("sha256");
  for (const file of files.toSorted()) hash.update(await Deno.readFile(join(root, file)));
  const [first] = (await Deno.readTextFile(join(folder, "lorafleet.yaml"))).split("\n");
  assertEquals(first!.split(" ").at(-1), hash.digest("hex"));
});

Deno.test("a workload a kind: one coordinator on its volume, a Deployment with a budget for each kind of GPU", async () => {
  const manifests = await manifestsOf("lorafleet.yaml");
  const names = manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  assertEquals(names.toSorted(), [
    "Deployment lorafleet-worker-nvidia",
    "NetworkPolicy lorafleet-coordinator",
    "NetworkPolicy lorafleet-workers",
    "PodDisruptionBudget lorafleet-worker-nvidia",
    "Service lorafleet-coordinator",
    "StatefulSet lorafleet-coordinator",
  ]);
  const [worker] = containersOf(manifests, "Deployment");
  assertEquals(worker!.resources.limits["nvidia.com/gpu"], 1);
  const budget = manifests.find(({ kind }) => kind === "PodDisruptionBudget")!;
  const deployment = manifests.find(({ kind }) => kind === "Deployment")!;
  assertEquals(budget.spec.selector, deployment.spec.selector);
});

Deno.test("the containers' variables, ports and commands are those of the programs and images", async () => {
  const programs = (await Promise.all([
    "coordinator/config/config.ts",
    "coordinator/config/nats_settings.ts",
    "worker/config.ts",
    "shared/hub/hub_settings.ts",
  ].map((path) => Deno.readTextFile(join(root, path))))).join("\n");
  for (const file of FILES) {
    const manifests = await manifestsOf(file);
    const containers = [...containersOf(manifests, "StatefulSet"), ...containersOf(manifests, "Deployment")];
    assertEquals(containers.length, 2, file);
    for (const { name, env, readinessProbe } of containers) {
      const variables = env.map(({ name }) => name).filter((name) => name !== "JOIN_TOKEN" && name !== "A");
      for (const variable of variables) assert(programs.includes(variable), `${file}: ${name}: ${variable}`);
      const script = readinessProbe?.exec?.command.find((word) => word.endsWith(".ts"));
      if (script !== undefined) await Deno.stat(join(root, script));
    }
  }
  const containerfile = await Deno.readTextFile(join(root, "deploy/containers/Containerfile"));
  const [coordinator] = containersOf(await manifestsOf("lorafleet.yaml"), "StatefulSet");
  const ports = coordinator!.ports!.map(({ containerPort }) => containerPort);
  assert(containerfile.includes(`EXPOSE ${ports.join(" ")}\n`));
});

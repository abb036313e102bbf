import { assert, assertEquals } from "@std/assert";
import { parse as parseYaml } from "@std/yaml";
import { Ajv } from "ajv/dist/ajv.js";
import schema from "./testing/compose_spec.json" with { type: "json" };
import { parseStages } from "./testing/containerfile.ts";

interface Service {
  readonly profiles?: readonly string[];
  readonly build: { readonly target: string };
  readonly environment: Readonly<Record<string, string>>;
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
}

const text = await Deno.readTextFile(new URL("compose.yaml", import.meta.url));
const compose = parseYaml(text) as unknown as Compose;

Deno.test("compose.yaml follows the Compose Specification's schema", () => {
  const { $schema: _, ...draft7 } = schema;
  const validate = new Ajv({ strict: false, validateFormats: false, allErrors: true }).compile(draft7);
  validate(compose);
  assertEquals(validate.errors ?? [], []);
  validate({ services: { broken: { imagine: "x" } } });
  assert((validate.errors ?? []).length > 0, "the schema refuses nothing");
});

Deno.test("a profile a kind of GPU, and images that the Containerfile has", async () => {
  const services = Object.entries(compose.services);
  assertEquals(services.map(([name, { profiles = [] }]) => [name, ...profiles]), [
    ["coordinator"],
    ["worker-cpu", "cpu"],
    ["worker-nvidia", "nvidia"],
    ["worker-amd", "amd"],
  ]);
  const stages = parseStages(await Deno.readTextFile(new URL("Containerfile", import.meta.url)));
  for (const [name, { build }] of services) {
    assert(stages.some((stage) => stage.name === build.target), name);
  }
});

Deno.test("secrets come from the environment, and none has a default", () => {
  const secrets = [...text.matchAll(/\$\{(LORAFLEET_(?:API_KEY|JOIN_TOKEN))(.*?)\}/g)];
  assertEquals(secrets.length, 3);
  for (const [, name, rest] of secrets) assert(rest!.startsWith(":?"), `${name}${rest}`);
});

/** deploy/kubernetes/nats-values.yaml against NATS' own chart: Helm says nothing of a key that a chart does not know. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { parse } from "@std/yaml";
import { Ajv2020 } from "ajv/dist/2020.js";
import { natsBinaries } from "../../coordinator/broker/nats_binaries_fixture.ts";
import { MAX_PAYLOAD_BYTES } from "../../coordinator/broker/nats_server_config.ts";
import kubernetes from "../../deploy/kubernetes/testing/schemas.json" with { type: "json" };
import { root } from "../documents/named_tests.ts";
import chart from "./nats_chart_keys.json" with { type: "json" };

type Keys = { readonly [key: string]: Keys | string };

/** Not in the chart's values.yaml but in its comments: `podTemplate.topologySpreadConstraints`, which its templates read. */
const COMMENTED: Readonly<Record<string, string>> = { "podTemplate.topologySpreadConstraints": "map" };

/** What the chart would ignore, or take for something else. */
function problemsOf(values: unknown, keys: Keys | string, path = ""): string[] {
  const given = values === null ? "any" : Array.isArray(values) ? "list" : typeof values;
  if (keys === "any") return [];
  if (typeof keys === "string") {
    const needed = keys === "map" ? "object" : keys;
    return given === needed ? [] : [`${path} is ${JSON.stringify(values)}; the chart's is a ${keys}`];
  }
  if (given !== "object") return [`${path} is ${JSON.stringify(values)}; the chart's has keys`];
  return Object.entries(values as Record<string, unknown>).flatMap(([key, value]) => {
    const at = path === "" ? key : `${path}.${key}`;
    const known = keys[key] ?? COMMENTED[at];
    return known === undefined ? [`${at} is no value of the chart`] : problemsOf(value, known, at);
  });
}

// deno-lint-ignore no-explicit-any
const values = parse(await Deno.readTextFile(join(root, "deploy/kubernetes/nats-values.yaml"))) as any;
const problems = (changed: unknown) => problemsOf(changed, chart.keys as Keys);

Deno.test("nats-values.yaml has keys and types of NATS' chart; what the chart would ignore is found", () => {
  assertEquals(problems(values), []);
  const { config, container } = values;
  const misspelled = { ...values, config: { ...config, jetStream: config.jetstream } };
  assertEquals(problems(misspelled), ["config.jetStream is no value of the chart"]);
  const [replicas] = problems({ config: { cluster: { ...config.cluster, replicas: "3" } } });
  assertEquals(replicas, 'config.cluster.replicas is "3"; the chart\'s is a number');
  assertMatch(problems({ container: "nats:2" }).join(), /container is "nats:2"; the chart's has keys/);
  assertEquals(problems({ container: { ...container, merge: { anything: 1 } } }), []);
});

Deno.test("what nats-values.yaml merges into the servers' configuration, nats-server takes", async () => {
  const folder = await Deno.makeTempDir();
  const says = async (binary: string, merged: unknown) => {
    await Deno.writeTextFile(`${folder}/nats-server.conf`, JSON.stringify(merged));
    const args = ["--config", `${folder}/nats-server.conf`, "-t"];
    const { success, stderr } = await new Deno.Command(binary, { args, stdin: "null" }).output();
    return success ? "good" : new TextDecoder().decode(stderr);
  };
  for (const { binary } of natsBinaries()) {
    assertEquals(await says(binary, values.config.merge), "good");
    assertMatch(await says(binary, { max_paylod: 1 }), /unknown field "max_paylod"/);
  }
  await Deno.remove(folder, { recursive: true });
  assertEquals(values.config.merge.max_payload, MAX_PAYLOAD_BYTES, "as the coordinator's own broker");
});

Deno.test("the chart's servers spread as Kubernetes can, and are those of the images", async () => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  const name = "io.k8s.api.core.v1.TopologySpreadConstraint";
  const isConstraint = ajv.compile({ $ref: `#/$defs/${name}`, $defs: kubernetes.$defs });
  const constraints = Object.entries(values.podTemplate.topologySpreadConstraints as Record<string, object>);
  assertEquals(constraints.length, 1);
  for (const [topologyKey, rest] of constraints) {
    assert(isConstraint({ topologyKey, ...rest }), ajv.errorsText(isConstraint.errors));
    assert(!isConstraint({ topologyKey, ...rest, maxSkews: 1 }));
  }
  const containerfile = await Deno.readTextFile(join(root, "deploy/containers/Containerfile"));
  const { repository, tag } = values.container.image;
  assertMatch(
    containerfile,
    new RegExp(`^ARG NATS_IMAGE=docker\\.io/library/${repository}:${tag.replace("-alpine", "")}$`, "m"),
  );
});

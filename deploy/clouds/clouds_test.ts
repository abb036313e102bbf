/** Each file of this folder is what its own tool accepts: the schemas are those of the tools (make_schemas.py). */
import { Ajv2020 } from "ajv/dist/2020.js";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { parse } from "@std/yaml";

const folder = fromFileUrl(new URL(".", import.meta.url));
const FILES = { "skypilot.yaml": "skypilot", "dstack.yml": "dstack", "lambda.cloud-init.yaml": "cloud-init" };

async function checkerOf(name: string): Promise<(value: unknown) => string> {
  const { schema } = JSON.parse(await Deno.readTextFile(join(folder, "schemas", `${name}.json`)));
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  // SkyPilot's own word: an enum without regard to case.
  ajv.addKeyword({
    keyword: "case_insensitive_enum",
    validate: (known: string[], value: string) =>
      known.some((one) => one.toLowerCase() === value.toLowerCase()),
  });
  const { $schema: _, ...rest } = schema;
  const validate = ajv.compile(rest);
  return (value) => validate(value) ? "" : ajv.errorsText(validate.errors);
}

// deno-lint-ignore no-explicit-any
async function read(file: string): Promise<any> {
  return parse(await Deno.readTextFile(join(folder, file)));
}

Deno.test("SkyPilot, dstack and cloud-init accept the files", async (t) => {
  const found = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => /\.ya?ml$/.test(name));
  assertEquals(found.sort(), Object.keys(FILES).sort(), "every file has its schema");
  for (const [file, schema] of Object.entries(FILES)) {
    await t.step(file, async () => assertEquals((await checkerOf(schema))(await read(file)), ""));
  }
});

Deno.test("the schemas refuse what the tools refuse", async () => {
  const sky = await read("skypilot.yaml");
  assertMatch((await checkerOf("skypilot"))({ ...sky, resources: { gpus: 1 } }), /additional properties/);
  assertMatch((await checkerOf("skypilot"))({ ...sky, num_nodes: "four" }), /must be integer/);
  assertMatch(
    (await checkerOf("skypilot"))({ ...sky, resources: { cloud: "nowhere" } }),
    /case_insensitive_enum/,
  );
  const dstack = await read("dstack.yml");
  assertMatch((await checkerOf("dstack"))({ ...dstack, gpu: 1 }), /additional properties/);
  assertMatch((await checkerOf("dstack"))({ ...dstack, env: ["NOT OK"] }), /pattern/);
  const cloudInit = await read("lambda.cloud-init.yaml");
  assertMatch((await checkerOf("cloud-init"))({ ...cloudInit, run_cmd: [] }), /additional properties/);
  assertMatch((await checkerOf("cloud-init"))({ ...cloudInit, write_files: [{ content: "" }] }), /path/);
});

Deno.test("each hands the worker its join URL and has it leave when there is nothing to do", async () => {
  const sky = await read("skypilot.yaml");
  assertEquals([sky.secrets.LORAFLEET_JOIN, sky.envs.LORAFLEET_LEAVE_WHEN_IDLE], [null, "10"]);
  assertEquals(sky.resources.autostop, { idle_minutes: 10, down: true });
  const dstack = await read("dstack.yml");
  assert(dstack.env.includes("LORAFLEET_JOIN") && dstack.env.includes("LORAFLEET_LEAVE_WHEN_IDLE=10"));
  const cloudInit = await Deno.readTextFile(join(folder, "lambda.cloud-init.yaml"));
  assert(cloudInit.startsWith("#cloud-config\n"), "cloud-init knows the file by its first line");
  assertMatch(cloudInit, /LORAFLEET_JOIN=JOIN_URL\n +LORAFLEET_LEAVE_WHEN_IDLE=10/);
  for (const text of [sky.setup, cloudInit]) assertMatch(text, /sh -s v2\.9\.6\b/);
});

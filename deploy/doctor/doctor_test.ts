import { assert, assertEquals, assertMatch } from "@std/assert";
import type { ProbedGpu } from "../setup/checks.ts";
import { describePlatform } from "../setup/platform.ts";
import { servedVersions, VERSION } from "../../shared/protocol/release.ts";
import { examine } from "./doctor.ts";
import type { Finding } from "./finding.ts";
import { jsonReport, textReport } from "./report.ts";
import { knownVariables } from "./variables.ts";
import type { World } from "./world.ts";

const GPU: ProbedGpu = {
  ...{ name: "NVIDIA H200", isCpu: false },
  limits: {
    ...{ maxBufferSize: 2 ** 36, maxStorageBufferBindingSize: 2 ** 31, maxStorageBuffersPerShaderStage: 16 },
    ...{ maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 },
    maxComputeWorkgroupSizeX: 1024,
  },
};
const NOW = Date.parse("2026-11-29T12:00:00Z");
const KEY = "a-key-of-the-doctor";
const COORDINATOR = "http://c.example:8787";

interface Change extends Partial<Omit<World, "env" | "variables">> {
  readonly variables?: Readonly<Record<string, string>>;
  /** By URL; others do not answer. */
  readonly answers?: Readonly<Record<string, () => Response>>;
}

/** A machine on which all is well, but for `change`. */
function worldOf({ variables = {}, answers = {}, ...change }: Change): World {
  return {
    platform: describePlatform("linux", 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n'),
    ...{ architecture: "x86_64", denoVersion: "2.9.6", cores: 8 },
    memory: { total: 2 ** 35, available: 2 ** 34 },
    now: () => NOW,
    env: (name) => variables[name] ?? null,
    variables: Object.keys(variables),
    hardware: () => [{ vendor: "NVIDIA", evidence: "/dev/nvidia0" }],
    gpu: () => Promise.resolve(GPU),
    natsServer: () => "/usr/local/bin/nats-server",
    version: () => Promise.resolve("nats-server: v2.15.3"),
    free: () => Promise.resolve(2 ** 38),
    isFree: () => true,
    fetch: (url) => {
      const answer = answers[url];
      return answer === undefined
        ? Promise.reject(new TypeError("connection refused"))
        : Promise.resolve(answer());
    },
    ...change,
  };
}

const HUB = { "https://huggingface.co/api/models?limit=1": () => Response.json([]) };
const date = { date: new Date(NOW).toUTCString() };
const READY = {
  [`${COORDINATOR}/readyz`]: () =>
    Response.json({ status: "ready", checks: { nats: "ok" } }, { headers: date }),
  [`${COORDINATOR}/v1/workers`]: () => Response.json({ data: [] }),
};

const root = new URL("../../", import.meta.url);
const KNOWN = await knownVariables((path) => Deno.readTextFile(new URL(path, root)));

const findingsOf = (change: Change, url: string | null = null) =>
  examine(worldOf({ answers: HUB, ...change }), url, KNOWN);

/** All that is not well: check, verdict, what is so, advice. */
async function complaints(change: Change, url: string | null = null): Promise<readonly Finding[]> {
  return (await findingsOf(change, url)).filter(({ verdict }) => verdict !== "ok");
}

Deno.test("a machine on which all is well: every check says what is so", async () => {
  const findings = await findingsOf({ answers: { ...HUB, ...READY } }, COORDINATOR);
  assertEquals(findings.filter(({ verdict }) => verdict !== "ok"), []);
  const report = textReport(findings, []);
  assertMatch(report, /ok {4}GPU +NVIDIA H200/);
  assertMatch(report, /ok {4}coordinator +http:\/\/c\.example:8787 is ready/);
  assert(report.endsWith("All is well."), report);
});

const FAULTS:
  readonly (readonly [what: string, change: Change, check: string, found: RegExp, advice: RegExp])[] = [
    ["an old Deno", { denoVersion: "2.5.0" }, "runtime", /Deno 2\.5\.0/, /deno upgrade/],
    [
      "little memory",
      { memory: { total: 2 ** 31, available: 2 ** 30 } },
      "memory",
      /1\.0 GiB of 2\.0/,
      /2 GiB/,
    ],
    ["no adapter", { gpu: () => Promise.resolve(null) }, "GPU", /nvidia0.*no adapter/, /mesa-vulkan-drivers/],
    [
      "a GPU without its driver",
      { gpu: () => Promise.resolve({ ...GPU, name: "llvmpipe", isCpu: true }) },
      ...["GPU", /offers only llvmpipe/, /NVIDIA_DRIVER_CAPABILITIES=all/] as const,
    ],
    [
      "a driver with small limits",
      {
        gpu: () => Promise.resolve({ ...GPU, limits: { ...GPU.limits, maxStorageBuffersPerShaderStage: 4 } }),
      },
      ...["WebGPU", /PerShaderStage is 4, 8 are needed/, /newer driver/] as const,
    ],
    [
      "an image without a driver",
      { gpu: () => Promise.resolve(null), hardware: () => [], variables: { NVIDIA_VISIBLE_DEVICES: "all" } },
      ...[
        "GPU",
        /no GPU and its image no Vulkan driver.*libvulkan1/,
        /--gpus all.*LORAFLEET_ALLOW_CPU=1/,
      ] as const,
    ],
    [
      "a worker's container without a GPU",
      {
        gpu: () => Promise.resolve({ ...GPU, name: "llvmpipe", isCpu: true }),
        ...{ hardware: () => [], variables: { NVIDIA_VISIBLE_DEVICES: "all" } },
      },
      ...[
        "GPU",
        /this container has no GPU, only the CPU \("llvmpipe"\)/,
        /--device nvidia\.com\/gpu=all/,
      ] as const,
    ],
    ["a full disk", { free: () => Promise.resolve(2 ** 30) }, "data folder", /1\.0 GiB free/, /make room/],
    [
      "an old nats-server",
      { version: () => Promise.resolve("nats-server: v2.8.4") },
      ...["nats-server", /2\.8\.4/, /2\.9\.0 or newer/] as const,
    ],
    ["a taken port", { isFree: () => false }, "ports", /8787.*no coordinator/, /--port/],
    [
      "a variable that nobody reads",
      { variables: { LORAFLEET_API_KEYS: "x" } },
      ...["variables", /LORAFLEET_API_KEYS is set/, /mean LORAFLEET_API_KEY\?/] as const,
    ],
  ];

for (const [what, change, check, found, advice] of FAULTS) {
  Deno.test(`${what} is a problem, with what to do`, async () => {
    const problems = (await complaints(change)).filter(({ verdict }) => verdict === "problem");
    assertEquals([...new Set(problems.map(({ check }) => check))].filter((name) => name !== "cache"), [
      check,
    ]);
    assertMatch(problems[0]!.found, found);
    assertMatch(problems[0]!.advice!, advice);
  });
}

Deno.test("what a worker or an offline machine does without is a note", async () => {
  const cpu = { gpu: () => Promise.resolve({ ...GPU, name: "llvmpipe", isCpu: true }), hardware: () => [] };
  const found = await complaints({ ...cpu, natsServer: () => null, answers: {}, denoVersion: "3.0.0" });
  assertEquals(found.map(({ check, verdict }) => [check, verdict]), [
    ["runtime", "note"],
    ["GPU", "note"],
    ["nats-server", "note"],
    ["hub", "note"],
  ]);
});

Deno.test("the report says which release this is, and that a coordinator is a different one", async () => {
  const ofRelease = (version: string) => ({
    answers: {
      ...{ ...HUB, ...READY },
      [`${COORDINATOR}/openapi.json`]: () => Response.json({ info: { version } }),
    },
  });
  const [first] = await findingsOf(ofRelease(VERSION), COORDINATOR);
  assertEquals([first?.check, first?.found], ["lorafleet", `${VERSION} (protocol ${servedVersions()})`]);
  assertEquals(await complaints(ofRelease(VERSION), COORDINATOR), []);
  const [other, ...rest] = await complaints(ofRelease("0.0.9"), COORDINATOR);
  assertEquals([other?.check, other?.verdict, other?.found, rest.length], [
    ...["release", "note", `0.0.9, and this is ${VERSION}`],
    0,
  ]);
});

Deno.test("without a GPU: a coordinator's machine needs none, a container may be told to do without", async () => {
  const gpuNotes = async (change: Change) =>
    (await complaints(change)).filter(({ check }) => check === "GPU").map((
      { verdict, found },
    ) => [verdict, found]);
  const coordinator = {
    gpu: () => Promise.resolve(null),
    hardware: () => [],
    variables: { LORAFLEET_DATA_FOLDER: "/data" },
  };
  assertEquals(await gpuNotes(coordinator), [["note", "none, and a coordinator needs none"]]);
  const worker = { LORAFLEET_DATA_FOLDER: "/data", LORAFLEET_JOIN: `${COORDINATOR}/join/a-token` };
  assertEquals((await gpuNotes({ ...coordinator, variables: worker })).map(([verdict]) => verdict), [
    "problem",
  ]);
  const cpu = { gpu: () => Promise.resolve({ ...GPU, name: "llvmpipe", isCpu: true }), hardware: () => [] };
  const allowed = { NVIDIA_VISIBLE_DEVICES: "all", LORAFLEET_ALLOW_CPU: "1" };
  assertEquals(await gpuNotes({ ...cpu, variables: allowed }), [
    ["note", "none; llvmpipe computes on the CPU, as LORAFLEET_ALLOW_CPU says"],
  ]);
});

Deno.test("a coordinator: away, something else, not ready, a clock that is off by an hour, a wrong key", async () => {
  const of = (answers: Change["answers"], more: Change = {}) =>
    complaints({ ...more, answers: { ...HUB, ...answers } }, COORDINATOR);
  assertMatch((await of({}))[0]!.found, /does not answer: connection refused/);
  const other = { [`${COORDINATOR}/readyz`]: () => new Response("<html>", { status: 404 }) };
  assertMatch((await of(other))[0]!.found, /answers 404, but is no coordinator/);
  const checks = { nats: "the broker does not answer", store: "ok" };
  const notReady = {
    ...READY,
    [`${COORDINATOR}/readyz`]: () => Response.json({ checks }, { headers: date, status: 503 }),
  };
  assertEquals((await of(notReady)).map(({ found }) => found), ["nats: the broker does not answer"]);
  const [clock] = await of(READY, { now: () => NOW + 3_600_000 });
  assertMatch(clock!.found, /^3600 s ahead of the coordinator's$/);
  const refused = { ...READY, [`${COORDINATOR}/v1/workers`]: () => new Response("", { status: 401 }) };
  const [key] = await of(refused, { variables: { LORAFLEET_API_KEY: KEY } });
  assertEquals([key!.check, key!.verdict], ["API key", "problem"]);
  const [none] = await of(refused);
  assertEquals([none!.check, none!.verdict], ["API key", "note"]);
});

Deno.test("a token that the hub does not know is a problem, and no report shows a secret", async () => {
  const answers = { "https://huggingface.co/api/whoami-v2": () => new Response("{}", { status: 401 }) };
  const variables = { HF_TOKEN: "hf_secretsecret", LORAFLEET_API_KEY: KEY };
  const found = await complaints({ answers, variables });
  assertEquals(found.map(({ found }) => found), ["HF_TOKEN is not valid"]);
  const leaky: Finding = { check: "x", verdict: "ok", found: `${KEY} hf_secretsecret`, advice: null };
  for (const report of [textReport([leaky], [KEY]), jsonReport([leaky], [KEY])]) {
    assert(!report.includes(KEY) && !report.includes("hf_secret"), report);
  }
});

Deno.test("a check that fails itself is told, and hides none of the others", async () => {
  const found = await complaints({
    hardware: () => {
      throw new Error("no /sys");
    },
  });
  assertEquals(found.map(({ found }) => found), ["the check itself failed: no /sys"]);
});

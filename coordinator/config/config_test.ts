import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { resolve } from "@std/path";
import { LoraFleetError } from "../../shared/errors.ts";
import { isLoopback } from "./loopback.ts";
import { parseConfig, USAGE } from "./config.ts";
import type { CoordinatorConfig } from "./config.ts";

function parse(args: string[], env: Record<string, string> = {}): CoordinatorConfig {
  const config = parseConfig(args, (name) => env[name]);
  if (config === null) throw new Error("help was not asked for");
  return config;
}

Deno.test("the defaults serve this machine alone", () => {
  const config = parse([], { HOME: "/home/me", PATH: "/bin" });
  assertEquals(config, {
    host: "127.0.0.1",
    port: 8787,
    dataFolder: resolve("data"),
    tls: null,
    publicUrl: null,
    apiKeys: [],
    modelRoots: [resolve("."), resolve("data/models")],
    minFreeBytes: null,
    retention: { maxAgeDays: null, maxBytes: null },
    maxUploadBytes: 2 ** 30,
    preparationThreads: null,
    stateGraceMs: 30_000,
    standby: true,
    joinToken: null,
    joinTokenTtlMs: null,
    natsUrl: null,
    natsCredsPath: null,
    natsCaPath: null,
    natsDomain: null,
    natsAccount: null,
    natsHost: "127.0.0.1",
    natsPort: 0,
    natsPublicUrl: null,
    onePort: false,
    natsServerBinary: null,
    searchPath: "/bin",
    hub: {
      endpoint: "https://huggingface.co",
      token: null,
      cacheFolder: "/home/me/.cache/huggingface/hub",
      offline: false,
    },
    trackers: {
      runsFolder: resolve("data/runs"),
      mlflow: {
        missing:
          "set MLFLOW_TRACKING_URI for the coordinator: the address of an MLflow server, such as http://127.0.0.1:5000",
      },
      wandb: {
        missing: "set WANDB_API_KEY for the coordinator, or WANDB_MODE=offline to send the points later",
      },
      workerHourPrice: null,
    },
    warnings: [],
  });
});

Deno.test("an option overrides its variable; an empty variable counts as unset", () => {
  const env = { LORAFLEET_PORT: "1", LORAFLEET_HOST: "", NATS_URL: "nats://a:4222", NATS_CREDS: "/c" };
  assertEquals(parse([], env).port, 1);
  const config = parse(["--port", "2", "--nats-url", "tls://b", "--data-folder", "/d"], env);
  assertEquals([config.port, config.host, config.natsUrl, config.natsCredsPath], [
    2,
    "127.0.0.1",
    "tls://b",
    "/c",
  ]);
  assertEquals(config.modelRoots, [resolve("."), "/d/models"]);
});

Deno.test("a second coordinator stands by unless --no-standby is set", () => {
  assertEquals([parse([]).standby, parse(["--no-standby"]).standby], [true, false]);
});

Deno.test("a certificate needs its key; an authority is optional", () => {
  const tls = { certPath: resolve("c"), keyPath: "/k", caPath: null };
  assertEquals(parse(["--tls-cert", "c", "--tls-key", "/k"]).tls, tls);
  assertEquals(parse(["--tls-cert", "c", "--tls-key", "/k"], { LORAFLEET_TLS_CA: "/ca" }).tls, {
    ...tls,
    caPath: "/ca",
  });
  assertEquals(parse([], { LORAFLEET_TLS_CA: "/ca" }).tls, null);
});

Deno.test("--join-token-ttl sets the lifetime of join tokens", () => {
  const ttl = (text: string) => parse([], { LORAFLEET_JOIN_TOKEN_TTL: text }).joinTokenTtlMs;
  assertEquals(["30m", "12h", "7d", "never", ""].map(ttl), [1_800_000, 43_200_000, 604_800_000, null, null]);
});

Deno.test("lists come from repeated options or from commas", () => {
  const args = [
    "--api-key",
    "key-00001",
    "--api-key=key-00002",
    "--model-roots",
    "/a",
    "--model-roots",
    "/b",
  ];
  const config = parse([...args, "--host", "0.0.0.0"]);
  assertEquals([config.apiKeys, config.modelRoots], [["key-00001", "key-00002"], [
    "/a",
    "/b",
    resolve("data/models"),
  ]]);
  assertEquals(config.natsHost, "0.0.0.0");
  assertStringIncludes(config.warnings.join(), "every user of this machine");
  const fromEnv = parse([], { LORAFLEET_API_KEY: "key-00003, key-00004,", LORAFLEET_MODEL_ROOTS: "/c,/d" });
  assertEquals([fromEnv.apiKeys, fromEnv.modelRoots], [["key-00003", "key-00004"], [
    "/c",
    "/d",
    resolve("data/models"),
  ]]);
});

Deno.test("the hub's variables mean what they mean to its own tools", () => {
  assertEquals(parse([], { HF_HOME: "/hf" }).hub.cacheFolder, "/hf/hub");
  assertEquals(parse([], { XDG_CACHE_HOME: "/x" }).hub.cacheFolder, "/x/huggingface/hub");
  const { hub } = parse([], {
    HF_HUB_CACHE: "/cache",
    HF_TOKEN: "hf_1",
    HF_ENDPOINT: "http://mirror:1/",
    HF_HUB_OFFLINE: "1",
  });
  assertEquals(hub, { endpoint: "http://mirror:1", token: "hf_1", cacheFolder: "/cache", offline: true });
  assertEquals(parse([], { HF_HUB_OFFLINE: "0" }).hub.offline, false);
});

Deno.test("an open host needs a key; bad values name their option", () => {
  const cases: [string[], string | null, string][] = [
    [["--host", "0.0.0.0"], "host", "LORAFLEET_API_KEY"],
    [["--host", "::", "--api-key", "short"], "api-key", "8 characters"],
    [["--port", "70000"], "port", '"70000"'],
    [["--port", "8787x"], "port", "0 to 65535"],
    [["--nats-url", "localhost:4222"], "nats-url", "nats://"],
    [["--public-url", "ftp://a"], "public-url", '"ftp://a"'],
    [["--join-token-ttl", "1w"], "join-token-ttl", '"1w"'],
    [["--join-token-ttl", "0d"], "join-token-ttl", "30m, 12h, 7d"],
    [["--tls-cert", "c.pem"], "tls-key", "--tls-cert is given without --tls-key"],
    [["--tls-key", "k.pem"], "tls-cert", "--tls-key is given without --tls-cert"],
    [["--max-upload-mib", "0"], "max-upload-mib", "1 to"],
    [["--prot", "1"], null, "--prot"],
    [["extra"], null, "extra"],
  ];
  for (const [args, param, message] of cases) {
    const error = assertThrows(() => parse(args), LoraFleetError, message);
    assertEquals([error.code, error.param], ["usage", param]);
  }
});

Deno.test("--help yields no configuration", () => {
  assertEquals(parseConfig(["--help"], () => undefined), null);
  for (const option of ["--port", "--host", "--data-folder", "--nats-url", "--public-url", "--no-standby"]) {
    assertStringIncludes(USAGE, option);
  }
});

Deno.test("loopback addresses", () => {
  assertEquals(["localhost", "::1", "127.0.0.1", "127.9.9.9"].map(isLoopback), [true, true, true, true]);
  assertEquals(["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example.com"].map(isLoopback), [
    false,
    false,
    false,
    false,
  ]);
});

Deno.test("a join token of one's own is long enough and fits a URL", () => {
  assertEquals(parse([], { LORAFLEET_JOIN_TOKEN: "0123456789abcdef" }).joinToken, "0123456789abcdef");
  for (const token of ["short", "0123456789abcde/", "x".repeat(129)]) {
    const error = assertThrows(() => parse([], { LORAFLEET_JOIN_TOKEN: token }), LoraFleetError);
    assertEquals(error.param, "join-token");
    assert(!error.message.includes(token), "it is a secret");
  }
});

Deno.test("the wait for a lost state is a whole number of seconds, or none", () => {
  assertEquals(parse(["--state-grace-s", "0"])!.stateGraceMs, 0);
  assertEquals(parse([], { LORAFLEET_STATE_GRACE_S: "600" })!.stateGraceMs, 600_000);
  for (const given of ["0.5", "86401", "30s"]) {
    const error = assertThrows(() => parse(["--state-grace-s", given]), LoraFleetError);
    assertEquals(
      [error.code, error.message],
      ["usage", `--state-grace-s is "${given}"; a whole number from 0 to 86400 is needed`],
    );
  }
});

Deno.test("threads of preparations are a number, or are chosen", () => {
  assertEquals(parse(["--preparation-threads", "1"])!.preparationThreads, 1);
  assertEquals(parse([], { LORAFLEET_PREPARATION_THREADS: "5" })!.preparationThreads, 5);
  for (const given of ["0", "65", "1.5", "all"]) {
    assertThrows(
      () => parse(["--preparation-threads", given]),
      LoraFleetError,
      `--preparation-threads is "${given}"; a whole number from 1 to 64 is needed`,
    );
  }
});

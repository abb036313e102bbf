import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../shared/errors.ts";
import { parseConfig } from "./config.ts";

const JOIN = "http://10.0.0.1:8787/join/token";

function parse(args: readonly string[], env: Record<string, string> = { HOME: "/home/a" }) {
  return parseConfig(args, (name) => env[name], () => "machine");
}

Deno.test("the join URL is all that is needed", () => {
  assertEquals(parse(["--join", JOIN]), {
    joinUrl: JOIN,
    name: "machine",
    allowCpu: false,
    ignoreGpu: false,
    natsUrl: null,
    tlsCaPath: null,
    cacheFolder: "/home/a/.cache/lorafleet",
    hub: {
      endpoint: "https://huggingface.co",
      token: null,
      offline: false,
      cacheFolder: "/home/a/.cache/huggingface/hub",
    },
    nf4Cache: { folder: "/home/a/.cache/lorafleet/nf4", maxBytes: 40 * 2 ** 30 },
    aliveFile: null,
    memoryBudgetBytes: null,
    leaving: { idleMs: null, at: null },
    pod: null,
  });
});

Deno.test("an option wins over its variable; an empty variable is none", () => {
  const env = {
    LORAFLEET_JOIN: JOIN,
    LORAFLEET_NAME: "from-env",
    LORAFLEET_ALLOW_CPU: "1",
    LORAFLEET_IGNORE_GPU: "yes",
    LORAFLEET_CACHE_FOLDER: "/cache",
    LORAFLEET_MEMORY_BUDGET_MIB: "",
    LORAFLEET_QUANTIZED_CACHE_GIB: "off",
    HF_ENDPOINT: "https://hub.example/",
    HF_TOKEN: "hf_secret",
    HF_HUB_OFFLINE: "1",
    XDG_CACHE_HOME: "/xdg",
  };
  assertEquals(parse(["--name", "given", "--memory-budget-mib", "3"], env), {
    joinUrl: JOIN,
    name: "given",
    allowCpu: true,
    ignoreGpu: true,
    natsUrl: null,
    tlsCaPath: null,
    cacheFolder: "/cache",
    hub: {
      endpoint: "https://hub.example",
      token: "hf_secret",
      offline: true,
      cacheFolder: "/xdg/huggingface/hub",
    },
    nf4Cache: null,
    aliveFile: null,
    memoryBudgetBytes: 3 * 2 ** 20,
    leaving: { idleMs: null, at: null },
    pod: null,
  });
  const { LORAFLEET_CACHE_FOLDER: _, ...rest } = env;
  assertEquals(parse([], { ...rest, LORAFLEET_ALLOW_CPU: "0" })!.cacheFolder, "/xdg/lorafleet");
  assertEquals(parse([], { ...rest, LORAFLEET_ALLOW_CPU: "0" })!.allowCpu, false);
});

Deno.test("a worker leaves by itself when its owner says so; only where RunPod says which pod this is, it can be removed", () => {
  const env = {
    LORAFLEET_JOIN: JOIN,
    LORAFLEET_LEAVE_WHEN_IDLE: "10",
    LORAFLEET_LEAVE_AT: "2026-01-31T19:00+01:00",
    LORAFLEET_REMOVE_POD: "1",
  };
  const { leaving, pod } = parse([], env)!;
  assertEquals(leaving, { idleMs: 600_000, at: Date.UTC(2026, 0, 31, 18) });
  assertEquals(pod, null);
  const onPod = { ...env, RUNPOD_POD_ID: "7h9k", RUNPOD_API_KEY: "rpa_key" };
  assertEquals(parse([], onPod)!.pod, { id: "7h9k", apiKey: "rpa_key", apiUrl: "https://api.runpod.io" });
  assertEquals(parse([], { ...onPod, LORAFLEET_REMOVE_POD: "" })!.pod, null);
  assertEquals(parse(["--leave-when-idle", "0.5"], onPod)!.leaving.idleMs, 30_000);
});

Deno.test("the NF4 cache lies in the cache's folder, with a limit, or is off", () => {
  const cacheOf = (...args: string[]) =>
    parse(["--join", JOIN, "--cache-folder", "/c", ...args], { LORAFLEET_QUANTIZED_CACHE_GIB: "2.5" })!
      .nf4Cache;
  assertEquals(cacheOf(), { folder: "/c/nf4", maxBytes: 2.5 * 2 ** 30 });
  assertEquals([cacheOf("--quantized-cache-gib", "off"), cacheOf("--quantized-cache-gib", "0")], [
    null,
    null,
  ]);
});

Deno.test("help asks for nothing else", () => assertEquals(parse(["--help"]), null));

Deno.test("what is wrong is named with what would be right", () => {
  const cases: [string[], string | null, string][] = [
    [[], "join", "--join is missing"],
    [["--join", "10.0.0.1:8787"], "join", "a URL of the form http://host:port/join/<token> is needed"],
    [["--join", "nats://10.0.0.1/join/a"], "join", `--join is "nats://10.0.0.1/join/a"`],
    [["--join", "http://10.0.0.1/join/"], "join", "is needed"],
    [["--join", JOIN, "--name", "a".repeat(201)], "name", "1 to 200 characters"],
    [["--join", JOIN, "--memory-budget-mib", "1.5"], "memory-budget-mib", `is "1.5"; a whole number from 1`],
    [["--join", JOIN, "--memory-budget-mib", "0"], "memory-budget-mib", "whole number"],
    [["--join", JOIN, "--quantized-cache-gib", "much"], "quantized-cache-gib", `is "much"; GiB above 0`],
    [["--join", JOIN, "--leave-when-idle", "0"], "leave-when-idle", `is "0"; minutes above 0`],
    [["--join", JOIN, "--leave-at", "2026-01-31 18:00"], "leave-at", "a time with its zone is needed"],
    [["--join", JOIN, "--leave-at", "2026-13-31T18:00Z"], "leave-at", `is "2026-13-31T18:00Z"`],
    [["--join", JOIN, "--gpu", "1"], null, "--gpu"],
    [["--join", JOIN, "extra"], null, "extra"],
  ];
  for (const [args, param, words] of cases) {
    const error = assertThrows(() => parse(args), LoraFleetError, words);
    assertEquals([error.code, error.param], ["usage", param]);
  }
});

import { assertEquals, assertMatch } from "@std/assert";
import { parseConfig } from "./config.ts";

const POD = { RUNPOD_POD_ID: "abc123", RUNPOD_PUBLIC_IP: "203.0.113.7", LORAFLEET_API_KEY: "12345678" };

function parse(args: readonly string[], env: Record<string, string>) {
  const { publicUrl, natsPublicUrl, warnings } = parseConfig(args, (name) => env[name])!;
  return { publicUrl, natsPublicUrl, warnings };
}

Deno.test("on a pod with both ports as TCP, others reach the coordinator by the numbers outside", () => {
  const env = {
    ...POD,
    RUNPOD_TCP_PORT_8787: "40001",
    RUNPOD_TCP_PORT_4222: "40002",
    RUNPOD_TCP_PORT_5222: "40003",
  };
  const open = ["--host", "0.0.0.0"];
  assertEquals(parse(open, env), {
    publicUrl: "http://203.0.113.7:40001",
    natsPublicUrl: "nats://203.0.113.7:40002",
    warnings: [],
  });
  assertEquals(parse([...open, "--tls-cert", "c", "--tls-key", "k", "--nats-port", "5222"], env), {
    publicUrl: "https://203.0.113.7:40001",
    natsPublicUrl: "tls://203.0.113.7:40003",
    warnings: [],
  });
  // What is given counts.
  const given = parse([
    ...open,
    "--public-url",
    "https://fleet.example",
    "--nats-public-url",
    "tls://n.example",
  ], env);
  assertEquals([given.publicUrl, given.natsPublicUrl], ["https://fleet.example", "tls://n.example"]);
});

Deno.test("an API behind RunPod's proxy has its name; a broker that is not exposed is warned of", () => {
  const { publicUrl, natsPublicUrl, warnings } = parse(["--host", "0.0.0.0"], POD);
  assertEquals([publicUrl, natsPublicUrl], ["https://abc123-8787.proxy.runpod.net", null]);
  assertMatch(
    warnings.join(),
    /does not expose TCP port 4222: workers outside of it cannot reach its broker/,
  );
  assertMatch(warnings.join(), /Start the coordinator with --one-port \(LORAFLEET_ONE_PORT=1\)/);
  const foreign = parse(["--host", "0.0.0.0", "--nats-url", "tls://a.example"], POD);
  assertEquals([foreign.natsPublicUrl, foreign.warnings], [null, []]);
  const named = parse(["--host", "0.0.0.0", "--nats-public-url", "tls://n.example"], POD);
  assertEquals([named.natsPublicUrl, named.warnings], ["tls://n.example", []]);
});

Deno.test("with one port the pod needs RunPod's proxy alone: nothing to warn of, and the broker listens inside", () => {
  for (const [args, env] of [[["--one-port"], {}], [[], { LORAFLEET_ONE_PORT: "1" }]] as const) {
    const config = parseConfig(
      ["--host", "0.0.0.0", ...args],
      (name) => ({ ...POD, ...env } as Record<string, string>)[name],
    )!;
    assertEquals([config.publicUrl, config.natsPublicUrl, config.natsHost, config.warnings], [
      "https://abc123-8787.proxy.runpod.net",
      null,
      "127.0.0.1",
      [],
    ]);
  }
});

Deno.test("elsewhere, and for the pod alone, nothing changes", () => {
  const nothing = { publicUrl: null, natsPublicUrl: null, warnings: [] };
  assertEquals(parse([], POD), nothing);
  assertEquals(parse(["--host", "0.0.0.0"], { LORAFLEET_API_KEY: "12345678" }), nothing);
});

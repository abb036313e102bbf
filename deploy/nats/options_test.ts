import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseOptions, USAGE } from "./options.ts";

Deno.test("servers are named by hosts, with ports or without, one by one or with commas between", () => {
  const options = parseOptions([
    "--server",
    "a.example,[::1]:5222",
    "--server",
    "10.0.0.3",
    "--leaf",
    "eu.example",
  ])!;
  assertEquals(options.servers, [
    { name: "server-1", host: "a.example", port: 4222 },
    { name: "server-2", host: "::1", port: 5222 },
    { name: "server-3", host: "10.0.0.3", port: 4222 },
  ]);
  assertEquals(options.leafs, [{ name: "leaf-1", host: "eu.example", port: 4222 }]);
  assertEquals([options.isEncrypted, options.outFolder.endsWith("/nats")], [true, true]);
  assertEquals(parseOptions(["--help"]), null);
  const named = ["--server", "--leaf", "--coordinator-leaf", "--domain", "--out", "--config-folder"];
  for (const option of [...named, "--store-folder", "--no-tls"]) {
    assertMatch(USAGE, new RegExp(`\\n  ${option} `));
  }
});

Deno.test("a leaf node beside the coordinator has the servers' streams in a domain, by NATS' usual name unless given", () => {
  const read = (...more: string[]) => {
    const { coordinatorLeaf, domain } = parseOptions(["--server", "a.example", ...more])!;
    return [coordinatorLeaf, domain];
  };
  const leaf = { name: "leaf-coordinator", host: "127.0.0.1", port: 4222 };
  assertEquals(read(), [null, null]);
  assertEquals(read("--domain", "fleet"), [null, "fleet"]);
  assertEquals(read("--coordinator-leaf", "127.0.0.1"), [leaf, "hub"]);
  assertEquals(read("--coordinator-leaf", "127.0.0.1", "--domain", "fleet"), [leaf, "fleet"]);
});

Deno.test("what makes no cluster is refused with the reason", () => {
  const cases = [
    [[], /--server is missing/],
    [["--server", "a,b"], /given 2 times; a majority must run, so that 2 servers bear no more losses than 1/],
    [["--server", "a,b,c,d,e,f"], /1, 3 or 5 are needed/],
    [["--server", "a,b,a"], /"a:4222" is given twice/],
    [["--server", "nats://a"], /--server is "nats:\/\/a"; a host, or host:port/],
    [["--server", "a:65000"], /a port up to 61535/],
    [["--server", "a", "--leaf", "b/c"], /--leaf is "b\/c"/],
    [["--server", "a", "--coordinator-leaf", "a"], /"a:4222" is given twice/],
    [["--server", "a", "--coordinator-leaf", "b/c"], /--coordinator-leaf is "b\/c"; a host, or host:port/],
    [["--server", "a", "--domain", "b.c"], /--domain is "b\.c"; a name of letters, digits/],
    [["--server", "a", "--domain", ""], /--domain is ""/],
    [["--sever", "a"], /Unknown option '--sever'/],
  ] as const;
  for (const [args, message] of cases) {
    const error = assertThrows(() => parseOptions(args), LoraFleetError);
    assertEquals(error.code, "usage");
    assertMatch(error.message, message);
  }
});

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
  for (const option of ["--server", "--leaf", "--out", "--config-folder", "--store-folder", "--no-tls"]) {
    assertMatch(USAGE, new RegExp(`\\n  ${option} `));
  }
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
    [["--sever", "a"], /Unknown option '--sever'/],
  ] as const;
  for (const [args, message] of cases) {
    const error = assertThrows(() => parseOptions(args), LoraFleetError);
    assertEquals(error.code, "usage");
    assertMatch(error.message, message);
  }
});

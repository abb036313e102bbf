import { assertEquals, assertMatch } from "@std/assert";
import { checkServers, splitServers, withoutCredentials } from "./nats_servers.ts";

const PROTOCOLS = ["nats:", "tls:"];

Deno.test("a list of servers keeps its order, without blanks, final slashes and empty entries", () => {
  assertEquals(checkServers(" nats://a:1/, nats://b ,,", PROTOCOLS), { servers: "nats://a:1,nats://b" });
  assertEquals(splitServers("nats://a:1, nats://b"), ["nats://a:1", "nats://b"]);
});

Deno.test("what is wrong with a list is said of the entry that is wrong", () => {
  const problems = [
    ["", /^a URL that begins with nats:\/\/ or tls:\/\/ is needed, or several/],
    ["a:4222", /^a URL that begins/],
    ["nats://a,b:4222", /^"b:4222" in it is none/],
    ["nats://a,http://b", /^"http:\/\/b" in it is none/],
    ["nats://a,tls://b", /^it mixes nats:\/\/ and tls:\/\/; all servers need the same/],
    ["nats://u:p@a,nats://v:p@b", /^its servers name different users/],
  ] as const;
  for (const [text, problem] of problems) {
    assertMatch((checkServers(text, PROTOCOLS) as { problem: string }).problem, problem);
  }
});

Deno.test("credentials of one server count for all of them and are in no address", () => {
  assertEquals(withoutCredentials("nats://me:p%40ss@a:1,nats://b:2"), {
    url: "nats://a:1,nats://b:2",
    user: "me",
    password: "p@ss",
  });
  assertEquals(withoutCredentials("wss://a/nats"), { url: "wss://a/nats", user: null, password: null });
});

import { assertEquals } from "@std/assert";
import { brokerForWorkers, ownAddress } from "./addresses.ts";

const none = { natsUrl: null, natsPublicUrl: null, publicUrl: null, natsDomain: null, onePort: false };
const request = new URL("http://fleet.example:8787/join/x");

function networkInterface(family: "IPv4" | "IPv6", address: string): Deno.NetworkInterfaceInfo {
  return { family, name: "x", address, netmask: "", scopeid: null, cidr: "", mac: "" };
}

Deno.test("a server is named by its host, or by the first address that leads to this machine", () => {
  assertEquals(ownAddress("http", "127.0.0.1", 1), "http://127.0.0.1:1");
  assertEquals(ownAddress("https", "10.0.0.1", 1), "https://10.0.0.1:1");
  assertEquals(ownAddress("http", "::1", 1), "http://[::1]:1");
  const loopback = networkInterface("IPv4", "127.0.0.1");
  const outer = [loopback, networkInterface("IPv6", "fe80::1"), networkInterface("IPv4", "10.1.2.3")];
  assertEquals(ownAddress("http", "0.0.0.0", 1, () => outer), "http://10.1.2.3:1");
  assertEquals(ownAddress("http", "::", 1, () => [loopback]), "http://127.0.0.1:1");
});

Deno.test("workers reach our own broker by the API's host", () => {
  const reply = (changes: object) => brokerForWorkers({ ...none, ...changes }, 4333, null)(request);
  assertEquals(reply({}), {
    natsUrl: "nats://fleet.example:4333",
    natsUser: "",
    natsPassword: "",
    natsTakesToken: true,
  });
  const encrypted = brokerForWorkers(none, 4333, { ca: "PEM" })(request);
  assertEquals([encrypted.natsUrl, encrypted.natsTlsCa], ["tls://fleet.example:4333", "PEM"]);
  assertEquals(reply({ publicUrl: "https://api.example/x" }).natsUrl, "nats://api.example:4333");
  assertEquals(reply({ natsPublicUrl: "tls://tunnel:7" }).natsUrl, "tls://tunnel:7");
});

Deno.test("with one port they reach it where they reached the API, or where the API is for others", () => {
  const reply = (url: string, changes: object = {}, tls: { ca: string } | null = null) =>
    brokerForWorkers({ ...none, onePort: true, ...changes }, 4333, tls)(new URL(url));
  assertEquals(reply("http://10.0.0.1:8787/join/x").natsUrl, "ws://10.0.0.1:8787/nats");
  assertEquals(reply("http://[::1]:8787/join/x").natsUrl, "ws://[::1]:8787/nats");
  assertEquals(reply("https://tunnel.example/join/x").natsUrl, "wss://tunnel.example/nats");
  const encrypted = reply("https://fleet.example:8787/join/x", {}, { ca: "PEM" });
  assertEquals([encrypted.natsUrl, encrypted.natsTlsCa], ["wss://fleet.example:8787/nats", "PEM"]);
  const behind = { publicUrl: "https://abc123-8787.proxy.runpod.net" };
  assertEquals(
    reply("http://10.0.0.1:8787/join/x", behind).natsUrl,
    "wss://abc123-8787.proxy.runpod.net/nats",
  );
  assertEquals(reply("http://a/join/x", { publicUrl: "http://b/fleet" }).natsUrl, "ws://b/fleet/nats");
  assertEquals(reply("http://a/join/x", { ...behind, natsPublicUrl: "wss://c/n" }).natsUrl, "wss://c/n");
});

Deno.test("a foreign broker keeps its URL, with the credentials split off", () => {
  const reply = (natsUrl: string) => brokerForWorkers({ ...none, natsUrl }, null, null)(request);
  assertEquals(reply("nats://broker:4222"), {
    natsUrl: "nats://broker:4222",
    natsUser: "",
    natsPassword: "",
    natsTakesToken: false,
  });
  assertEquals(reply("tls://me:p%40ss@broker:4222"), {
    natsUrl: "tls://broker:4222",
    natsUser: "me",
    natsPassword: "p@ss",
    natsTakesToken: false,
  });
  assertEquals(reply("wss://broker/nats").natsUrl, "wss://broker/nats");
});

Deno.test("a domain is for workers that share a user; those with identities have a service that leads to the streams", () => {
  const config = { ...none, natsUrl: "nats://leaf", natsDomain: "hub" };
  const reply = (knowsWorkers: boolean) =>
    brokerForWorkers(config, null, null, { knowsWorkers, ca: null })(request);
  assertEquals([reply(false).natsDomain, reply(true).natsDomain], ["hub", undefined]);
});

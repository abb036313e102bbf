import { assertEquals, assertStringIncludes } from "@std/assert";
import { nameIn } from "./tls.ts";
import { plaintextWarnings } from "./plaintext_warnings.ts";

const local = {
  ...{ tls: null, host: "127.0.0.1", natsHost: "127.0.0.1" },
  ...{ publicUrl: null, natsUrl: null, natsPublicUrl: null, onePort: false },
};

Deno.test("one warning lists all unencrypted traffic", () => {
  const [warning = "", ...more] = plaintextWarnings({ ...local, host: "0.0.0.0", natsHost: "0.0.0.0" });
  assertEquals(more, []);
  for (const part of ["the API on 0.0.0.0", "the broker on 0.0.0.0", "--tls-cert"]) {
    assertStringIncludes(warning, part);
  }
  const [one = ""] = plaintextWarnings({ ...local, host: "0.0.0.0", onePort: true });
  assertStringIncludes(one, "the API on 0.0.0.0: keys, uploads, adapters, the rows of datasets, gradients");
});

Deno.test("no warning on loopback or behind a TLS proxy", () => {
  const quiet = [
    local,
    { ...local, host: "0.0.0.0", natsHost: "::", tls: { certPath: "c", keyPath: "k", caPath: null } },
    { ...local, host: "0.0.0.0", publicUrl: "https://fleet.example" },
    { ...local, natsHost: "0.0.0.0", natsPublicUrl: "wss://fleet.example/nats" },
    { ...local, natsHost: "0.0.0.0", natsUrl: "nats://elsewhere" },
  ];
  for (const config of quiet) assertEquals(plaintextWarnings(config), []);
});

Deno.test("the first name of a certificate", () => {
  assertEquals(nameIn("DNS:fleet.example, IP Address:10.0.0.1"), "fleet.example");
  assertEquals(nameIn("email:a@b, IP Address:10.0.0.1"), "10.0.0.1");
  assertEquals(nameIn("DNS:*.fleet.example"), "coordinator.fleet.example");
  assertEquals(nameIn(""), null);
});

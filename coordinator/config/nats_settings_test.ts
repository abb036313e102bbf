import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { readNatsSettings } from "./nats_settings.ts";

const read = (values: Parameters<typeof readNatsSettings>[0], env: Record<string, string> = {}) =>
  readNatsSettings(values, (name) => env[name] ?? null);
const account = createNatsKeys("account").publicKey;

Deno.test("a cluster is named as every NATS client takes it, by option or variable", () => {
  const env = { NATS_URL: "tls://a, tls://b:5222,tls://c", NATS_CA: "/ca.pem", NATS_CREDS: "/c.creds" };
  assertEquals(read({}, env), {
    natsUrl: "tls://a,tls://b:5222,tls://c",
    natsPublicUrl: null,
    onePort: false,
    natsCredsPath: "/c.creds",
    natsCaPath: "/ca.pem",
    natsDomain: null,
    natsAccount: null,
  });
  // Other tools' variables mean nothing where we start a broker of our own.
  assertEquals(read({}, { NATS_CA: "/ca.pem", NATS_CREDS: "/c.creds" }).natsCredsPath, null);
});

Deno.test("an account key with what belongs to it", () => {
  const options = {
    "nats-url": "nats://a",
    "nats-creds": "/s.creds",
    "nats-account-key": "/fleet.nk",
    "nats-account": account,
    "nats-operator-key": "/o.nk",
    "nats-system-creds": "/sys.creds",
  };
  assertEquals(read(options).natsAccount, {
    keyPath: "/fleet.nk",
    account,
    revoking: { operatorKeyPath: "/o.nk", systemCredsPath: "/sys.creds" },
  });
});

Deno.test("a JetStream domain by option or variable", () => {
  assertEquals(read({ "nats-url": "nats://a", "nats-domain": "hub" }).natsDomain, "hub");
  assertEquals(read({ "nats-url": "nats://a" }, { LORAFLEET_NATS_DOMAIN: "hub-1" }).natsDomain, "hub-1");
  // It is for that broker, as the others.
  assertEquals(read({}, { LORAFLEET_NATS_DOMAIN: "hub" }).natsDomain, null);
});

Deno.test("one port by option or variable, for our own broker alone", () => {
  assertEquals(read({ "one-port": true }).onePort, true);
  assertEquals(read({}, { LORAFLEET_ONE_PORT: "1" }).onePort, true);
  assertEquals(read({}, { LORAFLEET_ONE_PORT: "0" }).onePort, false);
  const wrong = assertThrows(() => read({}, { LORAFLEET_ONE_PORT: "yes" }), LoraFleetError);
  assertEquals(wrong.message, 'LORAFLEET_ONE_PORT is "yes"; 1 or 0 is needed');
  const foreign = assertThrows(
    () => read({ "one-port": true }, { NATS_URL: "nats://me:secret@a.example:4222" }),
    LoraFleetError,
  );
  assertEquals([foreign.code, foreign.param], ["usage", "one-port"]);
  assertEquals(
    foreign.message,
    "--one-port leads workers to the coordinator's own broker, but --nats-url (NATS_URL) names " +
      '"nats://a.example:4222": leave out one of them',
  );
});

Deno.test("what is missing or wrong is named", () => {
  const url = { "nats-url": "nats://a" };
  const key = { ...url, "nats-account-key": "/k", "nats-creds": "/c" };
  const cases = [
    [{ "nats-url": "nats://a,tls://b" }, "nats-url", /mixes nats:\/\/ and tls:\/\//],
    [{ "nats-public-url": "b" }, "nats-public-url", /--nats-public-url is "b"; a URL that begins/],
    [{ "nats-ca": "/ca" }, "nats-ca", /for the broker of --nats-url, which is missing/],
    [{ "nats-account-key": "/k" }, "nats-account-key", /--nats-url, which is missing/],
    [{ "nats-domain": "hub" }, "nats-domain", /for the broker of --nats-url, which is missing/],
    [{ ...url, "nats-domain": "a b" }, "nats-domain", /--nats-domain is "a b"; the name in the server's/],
    [
      { ...url, "nats-account-key": "/k" },
      "nats-creds",
      /without --nats-creds: the streams need an account of their own/,
    ],
    [
      { ...url, "nats-account": account },
      "nats-account-key",
      /--nats-account is given without --nats-account-key/,
    ],
    [
      { ...key, "nats-account": "A1" },
      "nats-account",
      /--nats-account is "A1"; the public key of an account/,
    ],
    [
      { ...key, "nats-operator-key": "/o" },
      "nats-system-creds",
      /without --nats-system-creds: revoking at once needs both/,
    ],
  ] as const;
  for (const [values, option, message] of cases) {
    const error = assertThrows(() => read(values), LoraFleetError);
    assertEquals([error.code, error.param], ["usage", option]);
    assertMatch(error.message, message);
  }
});

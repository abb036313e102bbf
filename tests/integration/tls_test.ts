/** A fleet whose every connection is encrypted, under an authority that no system knows. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { openConnection } from "../../shared/bus/nats_connection.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { createWorkerIdentity } from "../../worker/fleet/identity.ts";
import { readTlsTrust } from "../../worker/fleet/tls_trust.ts";
import { systemClock } from "../../shared/clock.ts";
import type { Bus } from "../../shared/bus/bus.ts";
import { startCoordinatorChild, withFolder } from "./coordinator_child.ts";
import { makeTestCertificates } from "./test_certificates.ts";

const signal = new AbortController().signal;

async function identityOf(url: string, caPath: string | null) {
  const { fetch, ca } = await readTlsTrust(caPath);
  return createWorkerIdentity({
    ...{ url, fetch, clock: systemClock, timeoutMs: 5000, tlsCa: ca },
    onBusError: (_message, thrown) => {
      throw thrown;
    },
  });
}

Deno.test("API and broker speak TLS; who does not trust the authority reaches neither", () =>
  withFolder(async (folder) => {
    const { caPath, certPath, keyPath } = await makeTestCertificates(folder, "DNS:localhost,IP:127.0.0.1");
    const tls = ["--tls-cert", certPath, "--tls-key", keyPath, "--tls-ca", caPath];
    await using coordinator = startCoordinatorChild(`${folder}/data`, tls);
    const joinUrl = await coordinator.joinUrl();
    assertMatch(joinUrl, /^https:\/\/127\.0\.0\.1:\d+\/join\//);
    assertEquals(coordinator.stderr().includes("NOT ENCRYPTED"), false);

    // By name and by number: the certificate holds both.
    for (const url of [joinUrl, joinUrl.replace("127.0.0.1", "localhost")]) {
      const identity = await identityOf(url, caPath);
      const reply = await identity.join(signal, null);
      assertEquals(new URL(reply.natsUrl).protocol, "tls:");
      const bus: Bus = await identity.connect(reply, "control", () => reply.token);
      await bus.flush();
      await bus.close();
      // The authority comes with the reply, too, which came from where it had to come from.
      const { natsTlsCa } = reply;
      assertEquals(natsTlsCa, await Deno.readTextFile(caPath));
      const { natsTlsCa: _ca, ...withoutCa } = reply;
      const blind = await identityOf(url, null);
      await assertRejects(() => blind.connect(withoutCa, "control", () => reply.token), LoraFleetError);
      const error = await assertRejects(() => blind.join(signal, null), LoraFleetError);
      assertEquals(error.code, "timeout");
    }
    const { port } = new URL(joinUrl);
    await assertRejects(() => fetch(`http://127.0.0.1:${port}/healthz`).then((r) => r.text()));
    coordinator.kill("SIGTERM");
    assertEquals((await coordinator.ended).code, 0, coordinator.stderr());
  }));

Deno.test("the coordinator reaches its broker by loopback, though its certificate holds a different name", () =>
  withFolder(async (folder) => {
    const { caPath, certPath, keyPath } = await makeTestCertificates(folder, "DNS:fleet.example");
    const tls = ["--tls-cert", certPath, "--tls-key", keyPath, "--tls-ca", caPath];
    await using coordinator = startCoordinatorChild(`${folder}/data`, tls);
    const { port } = new URL(await coordinator.joinUrl());
    const identity = await identityOf(`https://127.0.0.1:${port}/join/x`, caPath);
    const error = await assertRejects(() => identity.join(signal, null), LoraFleetError);
    assertStringIncludes(error.message.toLowerCase(), "certificate");
    // Nor does a worker take the broker for what it is not.
    const { natsPort } = JSON.parse(await Deno.readTextFile(`${folder}/data/coordinator.json`));
    const broker = { name: "x", tlsCa: await Deno.readTextFile(caPath) };
    for (const host of ["127.0.0.1", "localhost"]) {
      const servers = `tls://${host}:${natsPort}`;
      const refused = await assertRejects(() => openConnection({ ...broker, servers }), LoraFleetError);
      assertStringIncludes(refused.message.toLowerCase(), "certificate");
    }
  }));

Deno.test("an address that wants TLS is not believed where the broker has none", () =>
  withFolder(async (folder) => {
    await using coordinator = startCoordinatorChild(`${folder}/data`);
    const identity = await identityOf(await coordinator.joinUrl(), null);
    const reply = await identity.join(signal, null);
    const natsUrl = reply.natsUrl.replace("nats:", "tls:");
    await assertRejects(
      () => identity.connect({ ...reply, natsUrl }, "control", () => reply.token),
      LoraFleetError,
    );
    await assertRejects(() => openConnection({ servers: natsUrl, name: "x" }), LoraFleetError);
  }));

Deno.test("a listener that others reach without TLS is warned of, once; a certificate that cannot be used is named", () =>
  withFolder(async (folder) => {
    await using open = startCoordinatorChild(`${folder}/data`, [
      "--host",
      "0.0.0.0",
      "--api-key",
      "12345678",
    ]);
    await open.joinUrl();
    assertEquals(open.stderr().match(/warn +NOT ENCRYPTED/g)?.length, 1);
    await Deno.writeTextFile(`${folder}/no.pem`, "nothing");
    const tls = ["--tls-cert", `${folder}/no.pem`, "--tls-key", `${folder}/no.pem`];
    await using wrong = startCoordinatorChild(`${folder}/other`, tls);
    assertEquals((await wrong.ended).code, 2);
    assert(wrong.stderr().includes(`--tls-cert "${folder}/no.pem" is not in PEM`), wrong.stderr());
  }));

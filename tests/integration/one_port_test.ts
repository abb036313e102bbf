/** A fleet that needs one port: workers reach the broker as web sockets behind the API, with all that holds over TCP. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { accountKeys, masterOf } from "../../shared/bus/nats_accounts.ts";
import { openConnection } from "../../shared/bus/nats_connection.ts";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { inboxPrefix } from "../../shared/protocol/subjects.ts";
import { createWorkerIdentity } from "../../worker/fleet/identity.ts";
import { readTlsTrust } from "../../worker/fleet/tls_trust.ts";
import { spawnWorkerProcess } from "../chaos/worker_child.ts";
import {
  type CoordinatorChild,
  isAlive,
  jobOf,
  natsPidOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";
import { makeTestCertificates } from "./test_certificates.ts";
import { startToyWorker } from "./toy_worker.ts";

const STEPS = 24;
const TRAINING = {
  max_steps: STEPS,
  gradient_accumulation_steps: 4,
  learning_rate: 1e-2,
  save_strategy: "no",
};
const signal = new AbortController().signal;

const natsUrlOf = async (joinUrl: string): Promise<string> => (await (await fetch(joinUrl)).json()).natsUrl;

/** What a coordinator answers to a web socket at `path` until it ends the connection. */
async function answerAt(api: string, path: string): Promise<string> {
  const { hostname, port } = new URL(api);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const request =
    `GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n`;
  await connection.write(new TextEncoder().encode(request));
  return await new Response(connection.readable).text();
}

interface WorkerView {
  readonly id: string;
  readonly name: string;
  readonly state: string;
}

async function workersOf(api: string): Promise<WorkerView[]> {
  return (await (await fetch(`${api}/workers`)).json()).data;
}

/** Two worker processes train a job, and everything is stopped. Returns the adapter's SHA-256. */
async function train(
  args: readonly string[],
  disturb: (coordinator: CoordinatorChild, reached: (step: number) => Promise<void>) => Promise<void>,
): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-one-port-" });
  await using children = new AsyncDisposableStack();
  children.defer(() => Deno.remove(folder, { recursive: true }));
  const coordinator = children.use(startCoordinatorChild(`${folder}/data`, args));
  const joinUrl = await coordinator.joinUrl();
  const api = coordinator.api();
  const workers = ["a", "b"].map((name) => {
    const child = spawnWorkerProcess({
      ...{ name, joinUrl, natsPort: null, engine: "toy", gradientMs: 15, factorSize: 2 ** 16 },
      cacheFolder: `${folder}/cache-${name}`,
    });
    const output = child.output();
    children.defer(async () => {
      if (isAlive(child.pid)) child.kill("SIGKILL");
      await output;
    });
    return { child, output };
  });
  const areThere = async () => (await workersOf(api)).filter(({ state }) => state === "ready").length === 2;

  await until("both workers", areThere, coordinator.stderr);
  const id = await submitJob(api, TRAINING);
  const reached = (step: number) =>
    until(`step ${step}`, async () => (await jobOf(api, id)).step >= step, coordinator.stderr);

  await disturb(coordinator, reached);
  const isOver = async () => ["succeeded", "failed", "cancelled"].includes((await jobOf(api, id)).status);
  await until("the end of the job", isOver, coordinator.stderr);
  const job = await (await fetch(`${api}/fine_tuning/jobs/${id}`)).json();
  assertEquals([job.status, job.error], ["succeeded", null]);
  const files = await Promise.all(
    job.result_files.map(async (file: string) => (await fetch(`${api}/files/${file}`)).json()),
  );

  const begun = Date.now();
  coordinator.kill("SIGTERM");
  assertEquals((await coordinator.ended).code, 0, coordinator.stderr());
  // Workers' sockets hold up nothing.
  assert(Date.now() - begun < 10_000, `${Date.now() - begun} ms`);

  for (const { child } of workers) child.kill("SIGTERM");
  await Promise.all(workers.map(({ output }) => output));

  return files.find(({ filename }) => filename.endsWith("adapter_model.safetensors")).sha256;
}

Deno.test("two worker processes make the same adapter through one port as over TCP, though the broker is killed", async () => {
  const overTcp = await train([], async (coordinator) => {
    assertMatch(await natsUrlOf(await coordinator.joinUrl()), /^nats:/);
    assertMatch(await answerAt(coordinator.api(), "/nats"), /^HTTP\/1\.1 404 [^]*start it with --one-port/);
  });
  const throughOne = await train(["--one-port"], async (coordinator, reached) => {
    const { host } = new URL(coordinator.api());
    assertEquals(await natsUrlOf(await coordinator.joinUrl()), `ws://${host}/nats`);
    assertMatch(await answerAt(coordinator.api(), "/nat"), /^HTTP\/1\.1 404 /);
    await reached(5);
    Deno.kill((await natsPidOf(coordinator.dataFolder))!, "SIGKILL");
    const before = await natsPidOf(coordinator.dataFolder);
    await reached(15);
    assert(await natsPidOf(coordinator.dataFolder) !== before);
  });
  assertEquals(throughOne, overTcp);
});

Deno.test("a worker that is revoked behind one port is cut off and ends with the reason, the other one stays", () =>
  withFolder(async (folder) => {
    await using coordinator = startCoordinatorChild(`${folder}/data`, ["--one-port"]);
    const joinUrl = await coordinator.joinUrl();
    const api = coordinator.api();
    const start = (name: string) =>
      startToyWorker({ name, joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 1 });
    const [bad, good] = [start("bad"), start("good")];
    const stateOf = async (name: string) => (await workersOf(api)).find((view) => view.name === name)?.state;
    try {
      const areReady = async () => await stateOf("bad") === "ready" && await stateOf("good") === "ready";
      await until("both workers", areReady);
      const { id } = (await workersOf(api)).find(({ name }) => name === "bad")!;
      const ended = assertRejects(() => bad.ended, LoraFleetError, `worker ${id} was revoked`);
      await (await fetch(`${api}/workers/${id}`, { method: "DELETE" })).body?.cancel();
      await until("its loss", async () => await stateOf("bad") === "lost");
      await ended;
      assertEquals(await stateOf("good"), "ready");
    } finally {
      await Promise.all([bad.stop(), good.stop()]);
    }
  }));

Deno.test("with TLS it is wss under a private authority: 8 MiB pass, stolen tokens do not, and no other port is open", () =>
  withFolder(async (folder) => {
    const { caPath, certPath, keyPath } = await makeTestCertificates(folder, "DNS:localhost,IP:127.0.0.1");
    const tls = ["--tls-cert", certPath, "--tls-key", keyPath, "--tls-ca", caPath];
    const open = ["--host", "0.0.0.0", "--api-key", "12345678", "--one-port"];
    await using coordinator = startCoordinatorChild(`${folder}/data`, [...tls, ...open]);
    const printed = new URL(await coordinator.joinUrl());
    const url = `https://127.0.0.1:${printed.port}${printed.pathname}`;
    const { fetch, ca } = await readTlsTrust(caPath);
    const identity = createWorkerIdentity({
      ...{ url, fetch, clock: systemClock, timeoutMs: 5000, tlsCa: ca },
      onBusError: (_message, thrown) => {
        throw thrown;
      },
    });
    const reply = await identity.join(signal, null);
    assertEquals(reply.natsUrl, `wss://127.0.0.1:${printed.port}/nats`);
    const bus = await identity.connect(reply, "control", () => reply.token);
    await bus.flush();
    await bus.close();
    const servers = reply.natsUrl;
    const blind = await assertRejects(() => openConnection({ servers, name: "x" }), LoraFleetError);
    assertMatch(blind.message, /its certificate is not trusted, or no web socket is taken there/);
    const thief = {
      ...{ name: "thief", servers, tlsCa: ca!, inboxPrefix: inboxPrefix(identity.worker) },
      identity: { keys: createNatsKeys("user"), token: () => reply.token },
    };
    assertEquals((await assertRejects(() => openConnection(thief), LoraFleetError)).code, "unauthorized");

    const { natsKeys, natsPort } = JSON.parse(await Deno.readTextFile(`${folder}/data/coordinator.json`));
    const master = masterOf(
      accountKeys(natsKeys).fleet,
      createNatsKeys("user"),
      Math.floor(Date.now() / 1000),
    );
    const connect = () => openConnection({ name: "x", servers, tlsCa: ca!, identity: master });
    const [one, two] = [await connect(), await connect()];
    const heard = Promise.withResolvers<Uint8Array>();
    two.subscribe("lf.large", { callback: (_error, message) => heard.resolve(message.data) });
    await two.flush();
    const large = new Uint8Array(8 * 2 ** 20).map((_, at) => at * 7 + (at >> 11));
    one.publish("lf.large", large);
    assertEquals(
      await crypto.subtle.digest("SHA-256", await heard.promise as BufferSource),
      await crypto.subtle.digest("SHA-256", large),
    );
    await Promise.all([one.close(), two.close()]);

    // The API listens on every address of this machine, the broker on one.
    if (Deno.build.os === "linux") {
      const at = (port: string | number) => Deno.connect({ hostname: "127.0.0.2", port: Number(port) });
      (await at(printed.port)).close();
      await assertRejects(() => at(natsPort), Deno.errors.ConnectionRefused);
    }
    coordinator.kill("SIGTERM");
    assertEquals((await coordinator.ended).code, 0, coordinator.stderr());
  }));

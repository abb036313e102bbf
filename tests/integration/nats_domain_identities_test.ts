/**
 * Identities through the leaf node beside the coordinator and one of another region, as `deno task nats` sets them up: the streams
 * are in the domain "hub" at the server behind them, once with streams of the leaf node's own in the way.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { jetstreamManager } from "@nats-io/jetstream";
import { type ForeignAccounts, readForeignAccounts } from "../../coordinator/broker/foreign_accounts.ts";
import { natsBinaries } from "../../coordinator/broker/nats_binaries_fixture.ts";
import { parseConfig } from "../../coordinator/config/config.ts";
import { assertUsable } from "../../coordinator/start/probe_broker.ts";
import { parseOptions } from "../../deploy/nats/options.ts";
import { writeCluster } from "../../deploy/nats/write_cluster.ts";
import { openConnection } from "../../shared/bus/nats_connection.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { jobOf, startCoordinatorChild, submitJob, until, withFolder } from "./coordinator_child.ts";
import { assertIdentities } from "./enforced_identities.ts";
import { freeBase } from "./nats_cluster.ts";
import { startToyWorker } from "./toy_worker.ts";

const HOST = "127.0.0.1";
const TRAINING = { max_steps: 40, gradient_accumulation_steps: 4, learning_rate: 1e-2, save_strategy: "no" };

interface Servers extends AsyncDisposable {
  readonly hubUrl: string;
  /** Beside the coordinator. */
  readonly leafUrl: string;
  /** In another region. */
  readonly farUrl: string;
  /** For the coordinator. */
  readonly environment: Readonly<Record<string, string>>;
}

async function startServers(folder: string, binary: string, hasOwnStreams: boolean): Promise<Servers> {
  const port = freeBase(3);
  const ports = { hub: port, leaf: port + 1, far: port + 2 };
  const at = (name: keyof typeof ports) => `${HOST}:${ports[name]}`;
  const options = parseOptions([
    ...["--server", at("hub"), "--coordinator-leaf", at("leaf"), "--leaf", at("far"), "--no-tls"],
    ...["--out", folder, "--config-folder", `${folder}/{name}`, "--store-folder", `${folder}/store/{name}`],
  ])!;
  const { environment, folders } = await writeCluster(options, Math.floor(systemClock.now() / 1000));
  if (hasOwnStreams) {
    const jetStream = `jetstream { store_dir: "${folder}/store/edge", domain: edge }\n`;
    await Deno.writeTextFile(`${folders.get("leaf-coordinator")}/nats-server.conf`, jetStream, {
      append: true,
    });
  }
  const running: Deno.ChildProcess[] = [];
  const ask = async (server: "hub" | "leaf", path: string) => {
    const response = await fetch(`http://${HOST}:${ports[server] + 4000}/${path}`).catch(() => null);
    return response === null ? null : await response.json();
  };
  for (const name of ["server-1", "leaf-coordinator", "leaf-1"]) {
    const path = `${folders.get(name)}/nats-server.conf`;
    // Debian's version does not know it.
    const text = (await Deno.readTextFile(path)).replace("  sync_interval: always\n", "");
    await Deno.writeTextFile(path, text);
    const args = ["--config", path, "--log", `${folder}/${name}.log`];
    running.push(new Deno.Command(binary, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn());
  }
  // Those of another region carry no streams.
  await until("the leaf nodes' connections", async () => (await ask("hub", "leafz"))?.leafnodes === 3 + 2);
  const url = (name: keyof typeof ports) => `nats://${at(name)}`;
  return {
    ...{ hubUrl: url("hub"), leafUrl: url("leaf"), farUrl: url("far"), environment },
    async [Symbol.asyncDispose]() {
      for (const child of running) child.kill("SIGKILL");
      await Promise.all(running.map((child) => child.status));
    },
  };
}

async function assertIdentitiesBehindLeaf(binary: string, hasOwnStreams: boolean): Promise<void> {
  await withFolder(async (folder) => {
    await using servers = await startServers(folder, binary, hasOwnStreams);
    await using coordinator = startCoordinatorChild(`${folder}/data`, [], servers.environment);
    const joinUrl = await coordinator.joinUrl();
    await using workers = new AsyncDisposableStack();
    const toy = { joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 15 };
    for (const options of [{ name: "w-near" }, { name: "w-far", natsUrl: servers.farUrl }]) {
      const worker = startToyWorker({ ...toy, ...options });
      workers.defer(() => worker.stop());
    }
    const api = coordinator.api();
    const jobId = await submitJob(api, TRAINING);
    await until("the first steps", async () => (await jobOf(api, jobId)).step >= 2, coordinator.stderr);
    const atHub = await streamNamesAt(servers, servers.hubUrl);
    assert(atHub.includes("KV_lf_leader"), atHub.join());
    // Those of a job are gone once it is over.
    if ((await jobOf(api, jobId)).status === "running") {
      assert(atHub.some((name) => name.endsWith(jobId)), atHub.join());
    }
    if (hasOwnStreams) assertEquals(await streamNamesAt(servers, servers.leafUrl), []);
    const { environment, hubUrl, leafUrl, farUrl } = servers;
    await assertIdentities({ environment, urls: [leafUrl, hubUrl, farUrl] });
    const isOver = async () => (await jobOf(api, jobId)).status === "succeeded";
    await until("the job's end", isOver, coordinator.stderr);
    await assertNoStreamsAt(servers);
    // A single server behind a leaf node is no cluster, whatever the leaf node calls itself.
    const log = coordinator.stderr();
    assert(!/cluster of nats-server|replicas:/.test(log), log);
  });
}

function accountsOf({ environment: env }: Servers, url: string): Promise<ForeignAccounts> {
  return readForeignAccounts({
    settings: parseConfig([], (name) => env[name])!.natsAccount!,
    ...{ credsPath: env["NATS_CREDS"]!, connection: { servers: url }, clock: systemClock },
  });
}

/** Of the server itself, not of a domain behind it. */
async function streamNamesAt(servers: Servers, url: string): Promise<string[]> {
  const { identities } = await accountsOf(servers, url);
  const connection = await openConnection({ servers: url, name: "streams", identity: identities.streams });
  try {
    const names: string[] = [];
    const { streams } = await jetstreamManager(connection, { checkAPI: false });
    for await (const name of streams.names()) names.push(name);
    return names;
  } finally {
    await connection.close();
  }
}

/** A coordinator at the other region's leaf node, which has no connection for the account of the streams. */
async function assertNoStreamsAt(servers: Servers): Promise<void> {
  const { farUrl } = servers;
  const accounts = await accountsOf(servers, farUrl);
  const { identities } = accounts;
  const broker = { url: farUrl, user: null, password: null, credsPath: null, identities, domain: "hub" };
  const error = await assertRejects(
    () => assertUsable(broker, accounts, { clock: systemClock, log: () => {} }, 500),
    LoraFleetError,
  );
  assertEquals([error.code, error.param], ["timeout", "nats-domain"]);
  assertMatch(
    error.message,
    /the domain "hub" .* the leaf node a connection to them for the account of --nats-creds/,
  );
}

const binaries = natsBinaries();

for (const { binary, version } of binaries) {
  Deno.test(
    `behind the coordinator's leaf node of nats-server ${version} a job trains with enforced identities`,
    () => assertIdentitiesBehindLeaf(binary, false),
  );
}

Deno.test("a leaf node with streams of its own leaves the fleet's at the hub, identities included", () =>
  assertIdentitiesBehindLeaf(binaries[0]!.binary, true));

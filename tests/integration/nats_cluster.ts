/** A cluster of real nats-servers as `deno task nats` sets it up, with a leaf node, for tests that kill its servers. */
import { assert } from "@std/assert";
import { parseNatsVersion } from "../../coordinator/broker/nats_server_config.ts";
import { natsBinaries } from "../../coordinator/broker/nats_binaries_fixture.ts";
import { type ClusterServer } from "../../deploy/nats/server_config.ts";
import { parseOptions } from "../../deploy/nats/options.ts";
import { writeCluster, type WrittenCluster } from "../../deploy/nats/write_cluster.ts";
import { systemClock } from "../../shared/clock.ts";
import { until } from "./coordinator_child.ts";

const HOST = "127.0.0.1";
/** As those behind which clusters are warned of, and the one that is installed where no newer one is. */
const INSTALLED = "github.com/nats-io/nats-server/v2@v2.12.3";

export interface TestNatsCluster extends AsyncDisposable {
  readonly binary: string;
  /** Where `deno task nats` has written. */
  readonly folder: string;
  /** For the coordinator. */
  readonly environment: Readonly<Record<string, string>>;
  /** By index; the leaf node comes last. */
  readonly urls: readonly string[];
  readonly leafUrl: string;
  /** As a power cut would. */
  kill(index: number): Promise<void>;
  /** Starts it again; resolves once it has caught up with the others. */
  start(index: number, isCaughtUp?: boolean): Promise<void>;
}

/** Three servers and a leaf node. */
export async function startTestNatsCluster(folder: string): Promise<TestNatsCluster> {
  const binary = await clusterBinary();
  const port = freeBase(4);
  const at = (index: number) => `${HOST}:${port + index}`;
  const options = parseOptions([
    ...["--server", [0, 1, 2].map(at).join(","), "--leaf", at(3), "--out", folder],
    ...["--config-folder", `${folder}/{name}`, "--store-folder", `${folder}/store/{name}`],
  ])!;
  const written: WrittenCluster = await writeCluster(options, Math.floor(systemClock.now() / 1000));
  const servers: readonly ClusterServer[] = [...options.servers, ...options.leafs];
  const running: (Deno.ChildProcess | null)[] = servers.map(() => null);

  async function start(index: number, isCaughtUp = true): Promise<void> {
    const { name, port } = servers[index]!;
    const log = `${folder}/${name}.log`;
    running[index] = new Deno.Command(binary, {
      args: ["--config", `${folder}/${name}/nats-server.conf`, "--log", log],
      ...{ stdin: "null", stdout: "null", stderr: "null" } as const,
    }).spawn();
    const health = async () => {
      const response = await fetch(`http://${HOST}:${port + 4000}/healthz`).catch(() => null);
      await response?.body?.cancel();
      return isCaughtUp ? response?.status === 200 : response !== null;
    };
    await until(`the health of ${name}, see ${log},`, health);
  }

  async function kill(index: number): Promise<void> {
    const child = running[index] ?? null;
    running[index] = null;
    if (child === null) return;
    child.kill("SIGKILL");
    await child.status;
  }

  const stop = async () => void await Promise.all(servers.map((_, index) => kill(index)));
  try {
    await Promise.all([0, 1, 2].map((index) => start(index)));
    await start(3);
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  const urls = servers.map(({ port }) => `tls://${HOST}:${port}`);
  return {
    ...{ binary, folder, environment: written.environment, urls, leafUrl: urls[3]!, kill, start },
    [Symbol.asyncDispose]: stop,
  };
}

/** The newest that is here, if it is one for clusters; otherwise one from Go's module proxy, kept for the next time. */
async function clusterBinary(): Promise<string> {
  const kept = `${Deno.cwd()}/.cache/bin/nats-server`;
  const newest = natsBinaries().map(({ binary, version }) => ({
    binary,
    version: parseNatsVersion(version)!,
  }))
    .sort((a, b) => b.version[0]! - a.version[0]! || b.version[1]! - a.version[1]!)[0]!;
  if (newest.version[0]! > 2 || newest.version[1]! >= 12) return newest.binary;
  if (await Deno.stat(kept).then(() => true, () => false)) return kept;
  const { success, stderr } = await new Deno.Command("go", {
    args: ["install", INSTALLED],
    env: { GOBIN: `${Deno.cwd()}/.cache/bin` },
    stdin: "null",
  }).output();
  assert(success, `a cluster needs nats-server 2.12 or newer: ${new TextDecoder().decode(stderr)}`);
  return kept;
}

/** The first of `count` ports in a row that are free, with all that a server derives from them (deploy/nats/server_config.ts). */
export function freeBase(count: number): number {
  for (let port = 14_000 + Deno.pid % 500 * 10; port < 58_000; port += 10) {
    const all = Array.from({ length: count }, (_, index) => index).flatMap((index) =>
      [0, 2000, 3200, 4000].map((more) => port + index + more)
    );
    try {
      for (const hostPort of all) Deno.listen({ hostname: HOST, port: hostPort }).close();
      return port;
    } catch (thrown) {
      if (!(thrown instanceof Deno.errors.AddrInUse)) throw thrown;
    }
  }
  throw new Error("no free ports");
}

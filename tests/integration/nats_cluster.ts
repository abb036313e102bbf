/** A cluster of real nats-servers as `deno task nats` sets it up, with a leaf node, for tests that kill its servers. */
import { ensureClusterBinary } from "../../coordinator/broker/nats_binaries_fixture.ts";
import { type ClusterServer } from "../../deploy/nats/server_config.ts";
import { parseOptions } from "../../deploy/nats/options.ts";
import { writeCluster, type WrittenCluster } from "../../deploy/nats/write_cluster.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { until } from "./coordinator_child.ts";

const HOST = "127.0.0.1";

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

const NO_CLUSTER_BINARY =
  "no nats-server 2.12 or newer is here for a cluster, nor Go, with which it is installed (docs/nats.md)";

/** Three servers and a leaf node. Throws `missing_dependency` without a nats-server for clusters. */
export async function startTestNatsCluster(folder: string): Promise<TestNatsCluster> {
  const found = await ensureClusterBinary();
  if (found === null) throw new LoraFleetError("missing_dependency", NO_CLUSTER_BINARY);
  const { binary } = found;
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

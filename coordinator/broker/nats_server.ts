/** The coordinator's own broker as a child process: configured, started, awaited, stopped. */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { PRIVATE_FILE_MODE } from "../storage/private_folder.ts";
import { assertTakesBytes } from "../storage/probe_folder.ts";
import { startGuarded, within } from "./guarded_process.ts";
import type { BrokerAccounts } from "../../shared/bus/nats_accounts.ts";
import { natsVersion } from "./nats_binary.ts";
import { checkNatsVersion } from "./nats_versions.ts";
import { awaitPort, awaitPredecessor } from "./nats_predecessor.ts";
import { type NatsServerConfig, natsServerConfigText, pidPathIn } from "./nats_server_config.ts";

const START_TIMEOUT_MS = 20_000;
/** JetStream writes its buffers back before it ends. */
const STOP_TIMEOUT_MS = 10_000;

export interface NatsServerOptions extends Omit<NatsServerConfig, "accounts" | "version"> {
  readonly binary: string;
  /** Read at every start. */
  readonly accounts: () => BrokerAccounts;
  readonly clock: Clock;
}

export interface NatsServer {
  readonly port: number;
  /** For the coordinator's own connection, by loopback if the server listens on all interfaces. */
  readonly url: string;
  /** On this machine; null if it takes no web sockets. Another one after each start. */
  readonly webSocketPort: number | null;
  readonly version: string;
  /** Resolves with its last log lines when it ends, for whatever reason. */
  readonly ended: Promise<string>;
  /** Stops it and waits for its end; kills it if it has not ended after `graceMs`. */
  stop(graceMs?: number): Promise<void>;
}

/**
 * Starts the server once its predecessor in the folder has ended, and waits until it accepts connections. Throws
 * `port_in_use`, `missing_dependency` (the binary does not run), `storage` (its folder), `timeout`.
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const { binary, folder, host, clock } = options;
  const version = await natsVersion(binary);
  checkNatsVersion({ version: version.join("."), cluster: null });
  const configPath = `${folder}/nats-server.conf`;
  await awaitPredecessor(pidPathIn(folder), configPath, clock);
  await awaitPort(host, options.port, clock);
  // A server without room for its streams fails in many ways, or runs without them.
  await assertTakesBytes(folder, "the broker's folder");
  await writeConfig(configPath, natsServerConfigText({ ...options, accounts: options.accounts(), version }));

  const ready = Promise.withResolvers<number>();
  let port = options.port;
  let webSocketPort: number | null = null;
  const server = startGuarded([binary, "--config", configPath], clock, (line) => {
    port = Number(/Listening for client connections on .*:(\d+)/.exec(line)?.[1] ?? port);
    const webSocket = /Listening for websocket clients on .*:(\d+)/.exec(line)?.[1];
    if (webSocket !== undefined) webSocketPort = Number(webSocket);
    if (line.includes("Server is ready")) ready.resolve(port);
  });
  const ended = server.ended.then((how) => `nats-server ${how}`);
  const outcome = await within(Promise.race([ready.promise, ended]), START_TIMEOUT_MS, clock);
  if (typeof outcome === "number") {
    return {
      port: outcome,
      url: `${options.tls === null ? "nats" : "tls"}://${reachableHost(host)}:${outcome}`,
      webSocketPort,
      version: version.join("."),
      ended,
      stop: (graceMs = STOP_TIMEOUT_MS) => server.stop(graceMs),
    };
  }
  if (outcome === null) {
    await server.stop(STOP_TIMEOUT_MS);
    const lines = server.log.join(" | ");
    throw new LoraFleetError("timeout", `nats-server was not ready after ${START_TIMEOUT_MS} ms: ${lines}`);
  }
  throw startFailure(options, outcome);
}

async function writeConfig(path: string, text: string): Promise<void> {
  try {
    await Deno.writeTextFile(path, text, { mode: PRIVATE_FILE_MODE });
  } catch (thrown) {
    const message = `cannot write ${quote(path)}: ${messageOf(thrown)}`;
    throw new LoraFleetError("storage", message, { param: "data-folder", cause: thrown });
  }
}

function reachableHost(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

/** @param outcome how the server ended before it was ready */
function startFailure({ binary, host, port }: NatsServerOptions, outcome: string): LoraFleetError {
  if (/address already in use/i.test(outcome)) {
    const message = `nats-server cannot listen on ${host}:${port}: the port is taken`;
    return new LoraFleetError("port_in_use", message, { param: "nats-port" });
  }
  const message = `cannot start ${quote(binary)}: ${outcome}`;
  return new LoraFleetError("missing_dependency", message, { param: "nats-server" });
}

/**
 * The broker as a child of the coordinator, for a fleet that needs no other: found, started, awaited, stopped. A small
 * shell stands between the two and stops the broker when the coordinator is gone, however it went.
 */
import { join } from "@std/path";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { PRIVATE_FILE_MODE } from "../storage/private_folder.ts";
import type { BrokerAccounts } from "./nats_accounts.ts";
import { awaitPort, awaitPredecessor } from "./nats_predecessor.ts";
import { assertTakesBytes } from "../storage/probe_folder.ts";
import {
  type NatsServerConfig,
  natsServerConfigText,
  parseNatsVersion,
  pidPathIn,
} from "./nats_server_config.ts";

const START_TIMEOUT_MS = 20_000;
/** JetStream writes what it holds back before it leaves. */
const STOP_TIMEOUT_MS = 10_000;
const LOG_LINES = 30;

/** Debian and Homebrew put it where not everybody's PATH leads. */
const MORE_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];

/**
 * Runs "$@" until it ends, or until standard input ends because the coordinator closed it or died. The watcher in the
 * background holds none of the pipes that the coordinator reads. The streams hold what workers say: they are the owner's.
 */
const GUARD = `umask 077
exec 3<&0
"$@" </dev/null 3<&- & child=$!
echo "guarded process: $child" >&2
{ cat <&3; kill -TERM "$child"; } >/dev/null 2>&1 &
exec 3<&-
wait "$child"`;

export interface NatsServerOptions {
  readonly binary: string;
  /** Holds the configuration, the pid and the streams. */
  readonly folder: string;
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** As they are when the server starts. */
  readonly accounts: () => BrokerAccounts;
  /** Null: without TLS. */
  readonly tls: NatsServerConfig["tls"];
  readonly clock: Clock;
}

export interface NatsServer {
  readonly port: number;
  /** As the coordinator connects: always by the loopback interface where the server listens on all. */
  readonly url: string;
  readonly version: string;
  /** Resolves with its last words when it ends, for whatever reason. */
  readonly ended: Promise<string>;
  /** Stops it and waits for its end; one that has not ended after `graceMs` is killed. */
  stop(graceMs?: number): Promise<void>;
}

/**
 * The path of nats-server: `configured`, else in the folders of `searchPath`, else where packages and `deno task setup`
 * put it. Throws a `LoraFleetError` with code `missing_dependency`.
 */
export function findNatsServer(configured: string | null, searchPath: string): string {
  const candidates = configured === null
    ? [...searchPath.split(":").filter((folder) => folder !== ""), ...MORE_FOLDERS, ".cache/bin"]
      .map((folder) => join(folder, "nats-server"))
    : [configured];
  const found = candidates.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
  if (found !== undefined) return found;
  throw new LoraFleetError(
    "missing_dependency",
    configured === null
      ? 'nats-server was not found on PATH, in /usr/sbin or in .cache/bin: run "deno task setup", ' +
        "install the package nats-server, or name a broker with --nats-url"
      : `LORAFLEET_NATS_SERVER names ${
        quote(configured)
      }, which is not a file: correct it, or run "deno task setup"`,
    { param: "nats-server" },
  );
}

/**
 * Starts the server, after the end of one that was left in the folder, and waits until it takes connections.
 * Throws a `LoraFleetError`: `port_in_use`, `missing_dependency` (the binary does not run), `storage` (its
 * folder), `timeout`.
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const { binary, folder, host, clock } = options;
  const version = await versionOf(binary);
  const configPath = `${folder}/nats-server.conf`;
  const pidPath = pidPathIn(folder);
  await awaitPredecessor(pidPath, configPath, clock);
  await awaitPort(host, options.port, clock);
  // A server that finds no room for its streams ends in many ways, or runs without them.
  await assertTakesBytes(folder, "the broker's folder");
  try {
    const text = natsServerConfigText({ ...options, accounts: options.accounts(), version });
    await Deno.writeTextFile(configPath, text, { mode: PRIVATE_FILE_MODE });
  } catch (thrown) {
    throw new LoraFleetError("storage", `cannot write ${quote(configPath)}: ${messageOf(thrown)}`, {
      param: "data-folder",
      cause: thrown,
    });
  }

  const child = new Deno.Command("sh", {
    args: ["-c", GUARD, "sh", binary, "--config", configPath],
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
    // A Ctrl-C in the terminal is for the coordinator, which stops its child in good order.
    detached: true,
  }).spawn();
  const ready = Promise.withResolvers<number>();
  const log: string[] = [];
  let port = options.port;
  let pid = 0;
  const reading = readLines(child.stderr, (line) => {
    const guarded = /^guarded process: (\d+)$/.exec(line)?.[1];
    if (guarded !== undefined) {
      pid = Number(guarded);
      return;
    }
    log.push(line);
    if (log.length > LOG_LINES) log.shift();
    port = Number(/Listening for client connections on .*:(\d+)/.exec(line)?.[1] ?? port);
    if (line.includes("Server is ready")) ready.resolve(port);
  });
  const ended = (async () => {
    const { code } = await child.status;
    await child.stdin.close().catch(() => {});
    await reading;
    return `nats-server ended with code ${code}: ${log.slice(-5).join(" | ")}`;
  })();

  const stop = async (graceMs = STOP_TIMEOUT_MS) => {
    await child.stdin.close().catch(() => {});
    const inTime = await within(ended, graceMs, clock);
    if (inTime === null) {
      // Not by the file with its pid, which is empty where the disk was full.
      if (pid > 1) Deno.kill(pid, "SIGKILL");
      await ended;
    }
  };

  const outcome = await within(Promise.race([ready.promise, ended]), START_TIMEOUT_MS, clock);
  if (typeof outcome === "number") {
    const connectHost = host === "0.0.0.0"
      ? "127.0.0.1"
      : host === "::"
      ? "[::1]"
      : host.includes(":")
      ? `[${host}]`
      : host;
    return {
      port: outcome,
      url: `${options.tls === null ? "nats" : "tls"}://${connectHost}:${outcome}`,
      version: version.join("."),
      ended,
      stop,
    };
  }
  if (outcome === null) {
    await stop();
    throw new LoraFleetError(
      "timeout",
      `nats-server was not ready after ${START_TIMEOUT_MS} ms: ${log.join(" | ")}`,
    );
  }
  if (/address already in use/i.test(outcome)) {
    throw new LoraFleetError(
      "port_in_use",
      `nats-server cannot listen on ${host}:${options.port}: the port is taken`,
      {
        param: "nats-port",
      },
    );
  }
  throw new LoraFleetError("missing_dependency", `cannot start ${quote(binary)}: ${outcome}`, {
    param: "nats-server",
  });
}

async function versionOf(binary: string): Promise<readonly number[]> {
  let output: string;
  try {
    const { stdout } = await new Deno.Command(binary, { args: ["--version"], stdin: "null", stderr: "null" })
      .output();
    output = new TextDecoder().decode(stdout);
  } catch (thrown) {
    throw new LoraFleetError("missing_dependency", `cannot run ${quote(binary)}: ${messageOf(thrown)}`, {
      param: "nats-server",
      cause: thrown,
    });
  }
  const version = parseNatsVersion(output);
  if (version !== null) return version;
  throw new LoraFleetError(
    "missing_dependency",
    `${quote(binary)} is no nats-server: for --version it prints ${quote(output)}`,
    { param: "nats-server" },
  );
}

async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  }
  if (rest !== "") onLine(rest);
}

/** Null where it takes longer. */
async function within<T>(promise: Promise<T>, timeoutMs: number, clock: Clock): Promise<T | null> {
  const settled = new AbortController();
  const late = clock.sleep(timeoutMs, settled.signal).then(() => null, () => null);
  try {
    return await Promise.race([promise, late]);
  } finally {
    settled.abort();
  }
}

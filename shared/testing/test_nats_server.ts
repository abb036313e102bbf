/** A real nats-server for tests: on a free port, with JetStream in a temporary folder. */
import { systemClock } from "../clock.ts";
import { LoraFleetError } from "../errors.ts";

interface TestNatsServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Kills the server as a power cut would, and starts it again on the same port and folder. */
  restart(change?: { whileDown?: () => Promise<void>; configuration?: string }): Promise<void>;
  stop(): Promise<void>;
}

interface TestNatsServerOptions {
  readonly maxPayloadBytes?: number;
  /** Further lines of the configuration file. */
  readonly configuration?: string;
  /** The nats-server; left out: the first that is found. */
  readonly binary?: string;
}

const START_TIMEOUT_MS = 20_000;
/** Debian's folder is not on every PATH; `deno task setup` installs into .cache/bin. */
const BINARIES = [
  "nats-server",
  "/usr/sbin/nats-server",
  "/opt/homebrew/bin/nats-server",
  ".cache/bin/nats-server",
];

/** Throws a `LoraFleetError` with code `missing_dependency` without nats-server: its tests must not be skipped. */
export async function startTestNatsServer(options: TestNatsServerOptions = {}): Promise<TestNatsServer> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-nats-" });
  let running = await start(folder, -1, options);
  const { port } = running;

  async function restart(change: { whileDown?: () => Promise<void>; configuration?: string } = {}) {
    await end(running.child, "SIGKILL");
    await change.whileDown?.();
    running = await start(folder, port, {
      ...options,
      configuration: change.configuration ?? options.configuration ?? "",
    });
  }

  async function stop(): Promise<void> {
    await end(running.child, "SIGTERM");
    await Deno.remove(folder, { recursive: true });
  }

  return { url: `nats://127.0.0.1:${port}`, port, restart, stop, [Symbol.asyncDispose]: stop };
}

async function start(
  folder: string,
  port: number,
  { maxPayloadBytes = 2 ** 20, configuration = "", binary }: TestNatsServerOptions,
): Promise<{ child: Deno.ChildProcess; port: number }> {
  const configPath = `${folder}/nats-server.conf`;
  await Deno.writeTextFile(
    configPath,
    `host: 127.0.0.1
port: ${port}
ports_file_dir: ${JSON.stringify(folder)}
max_payload: ${maxPayloadBytes}
jetstream { store_dir: ${JSON.stringify(`${folder}/jetstream`)} }
${configuration}
`,
  );
  const child = spawn(configPath, binary === undefined ? BINARIES : [binary]);
  const portsPath = `${folder}/nats-server_${child.pid}.ports`;
  const deadline = systemClock.now() + START_TIMEOUT_MS;
  while (systemClock.now() < deadline) {
    const ports = await Deno.readTextFile(portsPath).catch(() => null);
    const found = ports === null ? null : /nats:\/\/[^"]*:(\d+)"/.exec(ports);
    if (found) return { child, port: Number(found[1]) };
    await systemClock.sleep(20);
  }
  await end(child, "SIGKILL");
  throw new LoraFleetError("timeout", `nats-server was not ready after ${START_TIMEOUT_MS} ms`);
}

function spawn(configPath: string, binaries: readonly string[]): Deno.ChildProcess {
  for (const binary of binaries) {
    try {
      return new Deno.Command(binary, {
        args: ["--config", configPath],
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn();
    } catch (thrown) {
      if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
    }
  }
  throw new LoraFleetError("missing_dependency", 'there is no nats-server: run "deno task setup"');
}

async function end(child: Deno.ChildProcess, signal: Deno.Signal): Promise<void> {
  try {
    child.kill(signal);
  } catch (thrown) {
    if (!(thrown instanceof TypeError)) throw thrown;
  }
  await child.status;
}

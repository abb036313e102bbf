/**
 * Coordinator and worker in one container, for a single pod: starts both, passes SIGTERM and SIGINT on, worker first, and ends
 * with the first of them that ends. Everything else is in their own variables.
 */
import { dirname, fromFileUrl } from "@std/path";
import { systemClock } from "../../shared/clock.ts";

const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

/** How long the worker has to finish its step. */
const DRAIN_MS = 20_000;

interface Part {
  readonly name: string;
  readonly process: Deno.ChildProcess;
  readonly ended: Promise<number>;
}

function start(name: string, env: Readonly<Record<string, string>>): Part {
  const args = ["run", "-q", "--no-prompt", "--cached-only", `-P=${name}`, `${name}/main.ts`];
  const process = new Deno.Command(Deno.execPath(), { args, env, cwd: root, stdin: "null" }).spawn();
  return { name, process, ended: process.status.then(({ code }) => code) };
}

async function end({ process, ended }: Part, afterMs: number): Promise<void> {
  const kill = (signal: Deno.Signal) => {
    try {
      process.kill(signal);
    } catch {
      // It has ended.
    }
  };
  kill("SIGTERM");
  const inTime = new AbortController();
  systemClock.sleep(afterMs, inTime.signal).then(() => kill("SIGKILL"), () => {});
  await ended;
  inTime.abort();
}

/** Random unless set, so that workers elsewhere may join, too. */
function joinToken(): string {
  return Deno.env.get("LORAFLEET_JOIN_TOKEN") || crypto.randomUUID().replaceAll("-", "");
}

async function main(): Promise<number> {
  const token = joinToken();
  const port = Deno.env.get("LORAFLEET_PORT") || "8787";
  const scheme = Deno.env.get("LORAFLEET_TLS_CERT") ? "https" : "http";
  const coordinator = start("coordinator", { LORAFLEET_JOIN_TOKEN: token });
  // Behind one port the public address may be a proxy far away, which the pod's own worker does not need.
  const inside = Deno.env.get("LORAFLEET_ONE_PORT") === "1" && !Deno.env.get("LORAFLEET_NATS_URL")
    ? { LORAFLEET_NATS_URL: `${scheme === "https" ? "wss" : "ws"}://127.0.0.1:${port}/nats` }
    : {};
  // The worker asks again until the coordinator answers.
  const join = `${scheme}://127.0.0.1:${port}/join/${token}`;
  const worker = start("worker", { LORAFLEET_JOIN: join, ...inside });
  const signalled = Promise.withResolvers<number>();
  Deno.addSignalListener("SIGTERM", () => signalled.resolve(0));
  Deno.addSignalListener("SIGINT", () => signalled.resolve(130));
  const code = await Promise.race([
    signalled.promise,
    ...[coordinator, worker].map(({ name, ended }) =>
      ended.then((code) => {
        console.error(`pod: the ${name} has ended with code ${code}`);
        return code;
      })
    ),
  ]);
  await end(worker, DRAIN_MS);
  await end(coordinator, DRAIN_MS);
  return code;
}

Deno.exit(await main());

/** The broker's program, and the ports that a coordinator listens at. */
import { manualCommands } from "../setup/platform.ts";
import { type Finding, note, ok, problem } from "./finding.ts";
import { compareVersions } from "./machine_checks.ts";
import type { World } from "./world.ts";

const [OLDEST, ADVISED] = ["2.9.0", "2.12.0"];

/** Only a coordinator with its own broker needs it. */
export async function checkNatsServer(world: World): Promise<Finding> {
  if (world.env("NATS_URL") !== null) return ok("nats-server", "not needed: NATS_URL names a broker");
  const path = world.natsServer();
  const how = manualCommands(world.platform, ["nats-server"]).join("; ");
  if (path === null) return note("nats-server", "none", `a coordinator needs it, a worker does not: ${how}`);
  const version = /v?(\d+\.\d+\.\d+)/.exec(await world.version(path) ?? "")?.[1];
  if (version === undefined) return problem("nats-server", `${path} does not run`, how);
  const found = `${version} (${path})`;
  if (compareVersions(version, OLDEST) < 0) {
    return problem("nats-server", found, `${OLDEST} or newer is needed: ${how}`);
  }
  if (compareVersions(version, ADVISED) >= 0) return ok("nats-server", found);
  return note("nats-server", found, `${ADVISED} or newer is advised for clusters`);
}

export async function checkPorts(world: World): Promise<readonly Finding[]> {
  const api = Number(world.env("LORAFLEET_PORT") ?? 8787);
  const answer = await world.fetch(`http://127.0.0.1:${api}/healthz`).then(async (response) => {
    const text = await response.text();
    return response.ok && text.includes('"ok"');
  }).catch(() => false);
  if (answer) return [ok("ports", `a coordinator answers at ${api}`)];
  return portsOf(world, api).map(({ port, use }) =>
    world.isFree(port)
      ? ok("ports", `${port} is free for ${use}`)
      : problem("ports", `${port}, for ${use}, is taken by a program that is no coordinator`, adviceFor(use))
  );
}

function portsOf(world: World, api: number): readonly { readonly port: number; readonly use: string }[] {
  const broker = world.env("LORAFLEET_NATS_PORT");
  return [
    { port: api, use: "the API" },
    ...broker === null ? [] : [{ port: Number(broker), use: "the broker" }],
  ];
}

function adviceFor(use: string): string {
  return `stop that program, or choose another port with ${use === "the API" ? "--port" : "--nats-port"}`;
}

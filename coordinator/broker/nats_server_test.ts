import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { openConnection } from "../../shared/bus/nats_connection.ts";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { brokerAccounts, masterOf } from "../../shared/bus/nats_accounts.ts";
import { natsBinaries } from "./nats_binaries_fixture.ts";
import { findNatsServer } from "./nats_binary.ts";
import { startNatsServer } from "./nats_server.ts";
import type { NatsServerOptions } from "./nats_server.ts";
import { natsServerConfigText, parseNatsVersion } from "./nats_server_config.ts";

const seconds = Math.floor(systemClock.now() / 1000);
const keys = {
  operator: createNatsKeys("operator"),
  fleet: createNatsKeys("account"),
  streams: createNatsKeys("account"),
  system: createNatsKeys("account"),
};
const accounts = () => brokerAccounts(keys, [], seconds);

const binaries = natsBinaries();

/** One after the other with each version of the broker that is here. */
async function withOptions(body: (options: NatsServerOptions) => Promise<void>): Promise<void> {
  for (const { binary } of binaries) {
    const folder = await Deno.makeTempDir();
    try {
      await body({ binary, folder, host: "127.0.0.1", port: 0, accounts, tls: null, clock: systemClock });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
}

function isAlive(pid: number): boolean {
  return new Deno.Command("kill", { args: ["-0", String(pid)], stderr: "null" }).outputSync().success;
}

async function waitForEnd(pid: number): Promise<void> {
  for (let attempt = 0; isAlive(pid); attempt++) {
    assert(attempt < 200, `process ${pid} is still there`);
    await systemClock.sleep(50);
  }
}

Deno.test("the server accepts connections once started, is gone after stop, and reuses its port", () =>
  withOptions(async (options) => {
    const server = await startNatsServer(options);
    const pid = Number(await Deno.readTextFile(`${options.folder}/nats-server.pid`));
    const identity = masterOf(keys.streams, createNatsKeys("user"), seconds);
    const connection = await openConnection({ servers: server.url, name: "test", identity });
    assertEquals(connection.info?.max_payload, 8 * 2 ** 20);
    assertEquals(connection.info?.jetstream, true);
    await connection.close();
    await server.stop();
    assertMatch(await server.ended, /JetStream Shutdown.*Server Exiting/);
    await waitForEnd(pid);
    const again = await startNatsServer({ ...options, port: server.port });
    assertEquals([again.port, again.url], [server.port, server.url]);
    const taken = await assertRejects(
      () => startNatsServer({ ...options, folder: `${options.folder}/other`, port: server.port }),
      LoraFleetError,
      String(server.port),
    );
    assertEquals(taken.code, "port_in_use");
    await again.stop();
  }));

Deno.test("web sockets are taken if asked, on this machine alone, by the same identities", () =>
  withOptions(async (options) => {
    const without = await startNatsServer(options);
    assertEquals(without.webSocketPort, null);
    await without.stop();
    const server = await startNatsServer({ ...options, host: "0.0.0.0", takesWebSockets: true });
    const servers = `ws://127.0.0.1:${server.webSocketPort}/nats`;
    const identity = masterOf(keys.streams, createNatsKeys("user"), seconds);
    const connection = await openConnection({ servers, name: "test", identity });
    assertEquals(connection.info?.max_payload, 8 * 2 ** 20);
    await connection.close();
    const nobody = await assertRejects(() => openConnection({ servers, name: "test" }), LoraFleetError);
    assertEquals(nobody.code, "unauthorized");
    if (Deno.build.os === "linux") {
      const at = (port: number) => Deno.connect({ hostname: "127.0.0.2", port });
      (await at(server.port)).close();
      await assertRejects(() => at(server.webSocketPort!), Deno.errors.ConnectionRefused);
    }
    await server.stop();
  }));

Deno.test("when its parent is killed, the server ends too", () =>
  withOptions(async (options) => {
    const script = `
      import { startNatsServer } from ${JSON.stringify(import.meta.resolve("./nats_server.ts"))};
      import { systemClock } from ${JSON.stringify(import.meta.resolve("../../shared/clock.ts"))};
      const tokens = new Map(${JSON.stringify([...accounts().tokens])});
      const accounts = () => ({ ...${JSON.stringify(accounts())}, tokens });
      await startNatsServer({ ...${JSON.stringify(options)}, accounts, clock: systemClock });
      Deno.kill(Deno.pid, "SIGKILL");`;
    const path = `${options.folder}/parent.ts`;
    await Deno.writeTextFile(path, script);
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const { signal } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--no-check", "--config", config, path],
    }).output();
    assertEquals(signal, "SIGKILL");
    await waitForEnd(Number(await Deno.readTextFile(`${options.folder}/nats-server.pid`)));
  }));

Deno.test("a broker that ends by itself reports its last log lines", () =>
  withOptions(async (options) => {
    const server = await startNatsServer(options);
    Deno.kill(Number(await Deno.readTextFile(`${options.folder}/nats-server.pid`)), "SIGKILL");
    assertMatch(await server.ended, /ended with code 137/);
    await server.stop();
  }));

Deno.test("a missing or wrong binary and an unusable folder are named", () =>
  withOptions(async (options) => {
    const missing = assertThrows(
      () => findNatsServer("/no/nats-server", ""),
      LoraFleetError,
      "/no/nats-server",
    );
    assertEquals(missing.code, "missing_dependency");
    assertStringIncludes(missing.message, "deno task setup");
    const wrong = await assertRejects(
      () => startNatsServer({ ...options, binary: "/bin/echo" }),
      LoraFleetError,
    );
    assertEquals(wrong.code, "missing_dependency");
    assertStringIncludes(wrong.message, "/bin/echo");
    await Deno.writeTextFile(`${options.folder}/file`, "");
    const folder = `${options.folder}/file/data`;
    assertEquals(
      (await assertRejects(() => startNatsServer({ ...options, folder }), LoraFleetError)).code,
      "storage",
    );
  }));

Deno.test("the search goes through PATH first", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/nats-server`, "");
  assertEquals(findNatsServer(null, `/nowhere::${folder}`), `${folder}/nats-server`);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("streams sync at once if the server supports it", () => {
  const config = { host: "::", port: 4222, folder: "/s", accounts: accounts(), tls: null };
  assertEquals(natsServerConfigText({ ...config, version: [2, 9, 10] }).includes("sync_interval"), false);
  assertStringIncludes(natsServerConfigText({ ...config, version: [2, 10, 0] }), "sync_interval: always");
  assertEquals(parseNatsVersion("nats-server: v2.11.3-RC.1\n"), [2, 11, 3]);
  assertEquals(parseNatsVersion("hello"), null);
});

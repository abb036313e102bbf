import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { connectNatsBus } from "../shared/bus/nats_bus.ts";
import { connectToNats } from "../shared/bus/nats_transport.ts";
import { systemClock } from "../shared/clock.ts";
import { LoraFleetError } from "../shared/errors.ts";
import { LEADER_LEASE } from "../shared/subjects.ts";
import { findNatsServer, startNatsServer } from "./nats_server.ts";
import type { NatsServerOptions } from "./nats_server.ts";
import { natsServerConfigText, parseNatsVersion } from "./nats_server_config.ts";

const coordinator = { user: "coordinator", password: 'secret "one"' };
const worker = { user: "worker", password: "secret-two" };

async function withOptions(body: (options: NatsServerOptions) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const binary = findNatsServer(null, Deno.env.get("PATH") ?? "");
  try {
    await body({ binary, folder, host: "127.0.0.1", port: 0, coordinator, worker, clock: systemClock });
  } finally {
    await Deno.remove(folder, { recursive: true });
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

Deno.test("the server is ready when it is said to be, is gone after stop, and takes its port again", () =>
  withOptions(async (options) => {
    const server = await startNatsServer(options);
    const pid = Number(await Deno.readTextFile(`${options.folder}/nats-server.pid`));
    const { user, password: pass } = coordinator;
    const connection = await connectToNats({ servers: server.url, user, pass });
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

Deno.test("a worker speaks on lorafleet's subjects alone, for itself, and cannot delete a stream", () =>
  withOptions(async (options) => {
    const server = await startNatsServer(options);
    const refused: string[] = [];
    const connection = await connectToNats({ servers: server.url, user: worker.user, pass: worker.password });
    const watching = (async () => {
      for await (const status of connection.status()) {
        if (status.type === "error") refused.push(status.error.message);
      }
    })();
    const heard: string[] = [];
    connection.subscribe("lf.>", { callback: (_error, message) => void heard.push(message.subject) });
    connection.publish("lf.hello", "x");
    connection.publish("lf.ftjob-1.gradients.2", "x");
    const forbidden = [
      "other.subject",
      "lf.fleet",
      "lf.ftjob-1.state",
      "lf.ftjob-1.commits",
      "lf.ftjob-1.work.1.1",
      "$JS.API.STREAM.DELETE.lf",
      "$JS.API.STREAM.CREATE.lf",
      "$JS.API.STREAM.PURGE.lf",
      "$JS.API.CONSUMER.DELETE.lf.c",
      "$JS.API.CONSUMER.CREATE.lf",
      "$JS.API.CONSUMER.DURABLE.CREATE.lf.c",
      `$KV.${LEADER_LEASE}.holder`,
      `$JS.API.DIRECT.GET.KV_${LEADER_LEASE}`,
    ];
    for (const subject of forbidden) connection.publish(subject, "");
    connection.subscribe("$SYS.>", { callback: () => {} });
    await connection.flush();
    await systemClock.sleep(50);
    assertEquals(heard, ["lf.hello", "lf.ftjob-1.gradients.2"]);
    for (const subject of [...forbidden, "$SYS.>"]) {
      assert(refused.some((message) => message.includes(`"${subject}"`)), `${subject} is not in ${refused}`);
    }
    assertEquals(refused.length, forbidden.length + 1);
    await connection.close();
    await watching;
    await assertRejects(
      () => connectToNats({ servers: server.url, user: "worker", pass: "wrong" }),
      Error,
      "uthoriz",
    );
    await server.stop();
  }));

Deno.test("a worker takes work from the coordinator's queue with no more rights than it has", () =>
  withOptions(async (options) => {
    const server = await startNatsServer(options);
    const connect = ({ user, password: pass }: { user: string; password: string }) => {
      const onError = (_message: string, thrown: unknown) => {
        throw thrown;
      };
      return connectNatsBus({ servers: server.url, name: user, user, pass, onError });
    };
    const [owner, puller] = [await connect(coordinator), await connect(worker)];
    await owner.ensureQueue("lf_work_a", ["lf.a.work.>"], { ackWaitMs: 60_000 });
    await owner.enqueue("lf.a.work.1.1", new Uint8Array([7]), "id");
    const item = await (await puller.openQueue("lf_work_a")).pull(5000);
    assertEquals(item?.data, new Uint8Array([7]));
    item!.extend();
    await item!.ack();
    await Promise.all([owner.close(), puller.close()]);
    await server.stop();
  }));

Deno.test("when its parent is killed, the server ends too", () =>
  withOptions(async (options) => {
    const script = `
      import { startNatsServer } from ${JSON.stringify(import.meta.resolve("./nats_server.ts"))};
      import { systemClock } from ${JSON.stringify(import.meta.resolve("../shared/clock.ts"))};
      await startNatsServer({ ...${JSON.stringify(options)}, clock: systemClock });
      Deno.kill(Deno.pid, "SIGKILL");`;
    const path = `${options.folder}/parent.ts`;
    await Deno.writeTextFile(path, script);
    const config = new URL("../deno.json", import.meta.url).pathname;
    const { signal } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--no-check", "--config", config, path],
    }).output();
    assertEquals(signal, "SIGKILL");
    await waitForEnd(Number(await Deno.readTextFile(`${options.folder}/nats-server.pid`)));
  }));

Deno.test("a broker that ends by itself says its last words", () =>
  withOptions(async (options) => {
    const server = await startNatsServer(options);
    Deno.kill(Number(await Deno.readTextFile(`${options.folder}/nats-server.pid`)), "SIGKILL");
    assertMatch(await server.ended, /ended with code 137/);
    await server.stop();
  }));

Deno.test("a missing or wrong binary, or a folder that cannot be used, is named", () =>
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

Deno.test("streams are synced at once where the server knows how", () => {
  const config = { host: "::", port: 4222, storeFolder: "/s", pidPath: "/p", coordinator, worker };
  assertEquals(natsServerConfigText({ ...config, version: [2, 9, 10] }).includes("sync_interval"), false);
  assertStringIncludes(natsServerConfigText({ ...config, version: [2, 10, 0] }), "sync_interval: always");
  assertEquals(parseNatsVersion("nats-server: v2.11.3-RC.1\n"), [2, 11, 3]);
  assertEquals(parseNatsVersion("hello"), null);
});

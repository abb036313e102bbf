import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { systemClock } from "../clock.ts";
import { LoraFleetError } from "../errors.ts";
import type { Lease } from "./bus.ts";
import { runBusContract } from "../testing/bus_contract/bus_contract.ts";
import { connectNatsBus } from "./nats_bus.ts";
import { deliveryCountOf } from "./nats_queue.ts";
import { startTestNatsServer } from "../testing/test_nats_server.ts";

Deno.test("the bus over NATS keeps the contract", async (t) => {
  await using server = await startTestNatsServer();
  await runBusContract(t, {
    connect: (onError = (_message, thrown) => {
      throw thrown;
    }) => connectNatsBus({ servers: server.url, name: "contract", onError }),
    pass: (milliseconds) => systemClock.sleep(milliseconds),
    during: (_milliseconds, promise) => promise,
  });
});

const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = (data: Uint8Array) => new TextDecoder().decode(data);
const throwIt = (_message: string, thrown: unknown) => {
  throw thrown;
};

Deno.test("a broker restart loses no stored message, and every client reconnects", async () => {
  await using server = await startTestNatsServer();
  const bus = await connectNatsBus({ servers: server.url, name: "restart", onError: throwIt });
  const statuses: string[] = [];
  const back = Promise.withResolvers<void>();
  bus.onStatus((status) => {
    statuses.push(status);
    if (status === "reconnected") back.resolve();
  });
  const heard: string[] = [];
  bus.subscribe("lf.after", ({ data }) => void heard.push(textOf(data)));
  await bus.ensureQueue("work", ["lf.work.>"], { ackWaitMs: 60_000 });
  await bus.ensureStream("log", "lf.log");
  const queue = await bus.openQueue("work");
  await bus.append("lf.log", bytes("1"), 0);

  let stored: Promise<unknown> = Promise.resolve();
  await server.restart({
    whileDown: async () => {
      while (statuses.length === 0) await systemClock.sleep(10);
      stored = Promise.all([
        bus.enqueue("lf.work.a", bytes("a"), "a"),
        bus.append("lf.log", bytes("2"), 1),
      ]);
      assertEquals(await queue.pull(100), null);
      assertEquals(bus.maxPayloadBytes, 2 ** 20);
      bus.publish("lf.after", bytes("lost"));
      await systemClock.sleep(300);
    },
  });
  await stored;
  await back.promise;
  assertEquals(statuses, ["disconnected", "reconnected"]);

  const item = await queue.pull(5000);
  assertEquals(item && textOf(item.data), "a");
  await item!.ack();
  assertEquals((await bus.readStream("log")).map(({ data }) => textOf(data)), ["1", "2"]);
  bus.publish("lf.after", bytes("heard"));
  await bus.flush();
  assertEquals(heard.at(-1), "heard");
  await bus.close();
});

Deno.test("storing past the deadline is a timeout, and closing does not wait for a broker that is gone", async () => {
  const server = await startTestNatsServer();
  const bus = await connectNatsBus({
    servers: server.url,
    name: "gone",
    onError: throwIt,
    storeDeadlineMs: 300,
  });
  await server.stop();
  const error = await assertRejects(() => bus.enqueue("lf.work.a", bytes("a"), "the-id"), LoraFleetError);
  assertEquals(error.code, "timeout");
  assertStringIncludes(error.message, "the-id");
  assertEquals((await assertRejects(() => bus.flush(), LoraFleetError)).code, "timeout");
  await bus.close();
});

Deno.test("a lease outlives the broker's restart, and its holder can renew it afterwards", async () => {
  await using server = await startTestNatsServer();
  const [first, second] = await Promise.all(
    ["first", "second"].map((name) => connectNatsBus({ servers: server.url, name, onError: throwIt })),
  );
  const held = await first!.acquireLease("leader", { holder: "a", ttlMs: 60_000 });
  assert(held !== null);
  await server.restart({
    whileDown: async () => {
      const error = await assertRejects(() => held.renew(), LoraFleetError);
      assertEquals([error.code, held.isHeld()], ["timeout", true]);
    },
  });
  assertEquals(await second!.acquireLease("leader", { holder: "b", ttlMs: 60_000 }), null);
  // The first try may still meet the connection that broke.
  while (await held.renew().then(() => false, () => true)) await systemClock.sleep(100);
  await held.release();
  const next = await second!.acquireLease("leader", { holder: "b", ttlMs: 60_000 });
  assert(next !== null && next.term > held.term);
  await Promise.all([first!.close(), second!.close()]);
});

Deno.test("without a broker the first connection is refused, with the address", async () => {
  const error = await assertRejects(
    () => connectNatsBus({ servers: "nats://127.0.0.1:1", name: "early", onError: throwIt }),
    LoraFleetError,
  );
  assertEquals(error.code, "timeout");
  assertStringIncludes(error.message, "127.0.0.1:1");
});

Deno.test("a wrong password is unauthorized; a denied subject is reported", async () => {
  await using server = await startTestNatsServer({
    configuration: `authorization { users: [
      { user: "worker", password: "secret", permissions: { publish: ["lf.>", "_INBOX.>"], subscribe: ["lf.>", "_INBOX.>"] } }
    ] }`,
  });
  const wrong = await assertRejects(
    () =>
      connectNatsBus({ servers: server.url, user: "worker", pass: "wrong", name: "wrong", onError: throwIt }),
    LoraFleetError,
  );
  assertEquals(wrong.code, "unauthorized");

  const denied = Promise.withResolvers<string>();
  const bus = await connectNatsBus({
    servers: server.url,
    user: "worker",
    pass: "secret",
    name: "worker",
    onError: (message, thrown) => denied.resolve(`${message}: ${thrown}`),
  });
  bus.publish("elsewhere.a", bytes("?"));
  assertStringIncludes(await denied.promise, "elsewhere.a");
  await bus.close();
});

Deno.test("the delivery count is read from both forms of the reply subject", () => {
  assertEquals(deliveryCountOf("$JS.ACK.stream.workers.3.17.20.1700000000000000000.5"), 3);
  assertEquals(deliveryCountOf("$JS.ACK.hub.account.stream.workers.4.17.20.1700000000000000000.5"), 4);
  assertEquals(deliveryCountOf("$JS.ACK.hub.account.stream.workers.5.17.20.1700000000000000000.5.random"), 5);
  assertEquals(assertThrows(() => deliveryCountOf("_INBOX.abc"), LoraFleetError).code, "corrupt");
});

Deno.test("a lease survives the loss of its bucket unless there was a new holder", async () => {
  await using server = await startTestNatsServer();
  const connect = () => connectNatsBus({ servers: server.url, name: "lease", onError: throwIt });
  const [first, second] = [await connect(), await connect()];
  const held = (await first.acquireLease("lost", { holder: "a", ttlMs: 60_000 }))!;
  await first.deleteStream("KV_lost");
  await held.renew();
  assertEquals([held.isHeld(), await second.acquireLease("lost", { holder: "b", ttlMs: 60_000 })], [
    true,
    null,
  ]);
  // nats-server 2.15.3 sometimes restores the content of a stream that is deleted and created again twice in a moment.
  let next: Lease | null = null;
  for (let tries = 0; next === null && tries < 50; tries++) {
    await first.deleteStream("KV_lost");
    next = await second.acquireLease("lost", { holder: "b", ttlMs: 60_000 });
  }
  await next!.release();
  const error = await assertRejects(() => held.renew(), LoraFleetError);
  assertEquals([error.code, held.isHeld()], ["conflict", false]);
  await Promise.all([first.close(), second.close()]);
});

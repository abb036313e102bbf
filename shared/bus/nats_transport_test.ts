import { assertEquals, assertRejects } from "@std/assert";
import { systemClock } from "../clock.ts";
import { connectToNats } from "./nats_transport.ts";
import { startTestNatsServer } from "../testing/test_nats_server.ts";

const withPassword = (password: string) => `authorization { user: worker, password: ${password} }`;

// An error without a listener would end this process, and with it the test.
Deno.test("every refused password is an error of connecting", async () => {
  await using server = await startTestNatsServer({ configuration: withPassword("secret") });
  for (let attempt = 0; attempt < 40; attempt++) {
    await assertRejects(
      () => connectToNats({ servers: server.url, user: "worker", pass: "wrong" }),
      Error,
      "Authorization Violation",
    );
  }
});

Deno.test("a broker that restarts with a different password is dialled until it accepts ours", async () => {
  await using server = await startTestNatsServer({ configuration: withPassword("secret") });
  const connection = await connectToNats({
    servers: server.url,
    user: "worker",
    pass: "secret",
    maxReconnectAttempts: -1,
    reconnectTimeWait: 10,
    ignoreAuthErrorAbort: true,
  });
  let refusals = 0;
  const seen = Promise.withResolvers<void>();
  const back = Promise.withResolvers<void>();
  const watching = (async () => {
    for await (const status of connection.status()) {
      if (status.type === "error" && ++refusals === 10) seen.resolve();
      if (status.type === "reconnect") back.resolve();
    }
  })();
  await server.restart({ configuration: withPassword("different") });
  await seen.promise;
  await server.restart({ configuration: withPassword("secret") });
  await back.promise;
  await connection.flush();
  await connection.close();
  await watching;
});

Deno.test("a web socket reaches the same broker", async () => {
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = free.addr;
  free.close();
  await using server = await startTestNatsServer({
    configuration: `websocket { host: 127.0.0.1, port: ${port}, no_tls: true }`,
  });
  const socket = await connectToNats({ servers: `ws://127.0.0.1:${port}` });
  const heard = Promise.withResolvers<string>();
  socket.subscribe("lf.a", { callback: (_error, message) => heard.resolve(message.string()) });
  await socket.flush();
  const plain = await connectToNats({ servers: server.url });
  plain.publish("lf.a", "hello");
  assertEquals(await heard.promise, "hello");
  await plain.close();
  await socket.close();
});

Deno.test("an address without a listener, or with one that stays silent, is refused", async () => {
  const refused = await assertRejects(() => connectToNats({ servers: "nats://127.0.0.1:1" }), Error);
  assertEquals(refused.message, "connection refused");
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = silent.accept().then((socket) => systemClock.sleep(20).then(() => socket.close()));
  await assertRejects(
    () => connectToNats({ servers: `127.0.0.1:${silent.addr.port}`, timeout: 5000 }),
    Error,
  );
  await accepting;
  silent.close();
});

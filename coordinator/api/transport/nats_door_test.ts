import { assert, assertEquals, assertMatch } from "@std/assert";
import { systemClock } from "../../../shared/clock.ts";
import { serveHttp } from "./http_server.ts";
import { createNatsDoor } from "./nats_door.ts";

const HEADER_TIMEOUT_MS = 200;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** A listener in the broker's place: keeps what it hears, and answers with what `onData` gives. */
function listenInside(onConnection: (connection: Deno.Conn) => Promise<void>) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const connection of listener) await onConnection(connection).catch(() => {});
  })();
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
    },
  };
}

async function withDoor(
  inside: number | null,
  body: (port: number, close: () => void) => Promise<void>,
  limits: { mostYoung?: number; youngMs?: number } = {},
): Promise<void> {
  const natsDoor = createNatsDoor({ port: () => inside, clock: systemClock, ...limits });
  const server = await serveHttp({
    ...{ hostname: "127.0.0.1", port: 0, tls: null, headerTimeoutMs: HEADER_TIMEOUT_MS, clock: systemClock },
    handler: async (request) =>
      new Response(`${new URL(request.url).pathname}: ${await request.text()}`, { status: 404 }),
    natsDoor,
    onDefect: (message) => {
      throw new Error(message);
    },
  });
  try {
    await body(server.port, natsDoor.close);
  } finally {
    natsDoor.close();
    await server.shutdown();
  }
}

const upgrade = (target: string, protocol = "websocket", more = "", method = "GET") =>
  `${method} ${target} HTTP/1.1\r\nHost: fleet.example\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n` +
  `Sec-WebSocket-Key: abc\r\nCookie: secret\r\n${more}\r\n`;

async function connect(port: number, text: string): Promise<Deno.TcpConn> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(encoder.encode(text));
  return connection;
}

async function read(connection: Deno.Conn, isWhole: (text: string) => boolean): Promise<string> {
  const buffer = new Uint8Array(65536);
  let text = "";
  while (!isWhole(text)) {
    const count = await connection.read(buffer);
    if (count === null) break;
    text += decoder.decode(buffer.subarray(0, count));
  }
  return text;
}

/** All that comes until the connection ends. */
async function answerTo(port: number, text: string): Promise<string> {
  using connection = await connect(port, text);
  return await read(connection, () => false);
}

Deno.test("the broker gets the request's own key and every byte after it, and answers for itself, at rest too", async () => {
  let request = "";
  await using inside = listenInside(async (connection) => {
    request = await read(connection, (text) => text.endsWith("PING"));
    await connection.write(encoder.encode("HTTP/1.1 101 Switching Protocols\r\n\r\nINFO"));
    await connection.write(encoder.encode(await read(connection, (text) => text.endsWith("late"))));
    connection.close();
  });
  await withDoor(inside.port, async (port) => {
    using connection = await connect(port, `${upgrade("/nats?x=1", "WebSocket")}PING`);
    assertMatch(await read(connection, (text) => text.endsWith("INFO")), /^HTTP\/1\.1 101 /);
    assertEquals(
      request,
      "GET /nats HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nHost: fleet.example\r\n" +
        "Sec-WebSocket-Key: abc\r\n\r\nPING",
    );
    // Longer than a request may take.
    await systemClock.sleep(3 * HEADER_TIMEOUT_MS);
    await connection.write(encoder.encode("late"));
    assertEquals(await read(connection, () => false), "late");
  });
});

Deno.test("a shut door, a broker that is away and too many at once are told in a sentence; others are requests", async () => {
  await withDoor(null, async (port) => {
    const refused = await answerTo(port, upgrade("/nats"));
    assertMatch(refused, /^HTTP\/1\.1 404 Not Found[^]*start it with --one-port, or reach the broker/);
    assertEquals(JSON.parse(refused.split("\r\n\r\n")[1]!).error.code, "not_found");
    const close = "Connection: close\r\n";
    for (
      const [target, protocol] of [["/", "websocket"], ["/nats/x", "websocket"], ["/nats", "h2c"]] as const
    ) {
      const answer = await answerTo(port, upgrade(target, protocol, close));
      assertMatch(answer, new RegExp(`^HTTP/1\\.1 404 [^]*${target}: `), answer);
    }
    const posted = await answerTo(
      port,
      `${upgrade("/v1/files", "h2c", `${close}Content-Length: 4\r\n`, "POST")}body`,
    );
    assertMatch(posted, /\/v1\/files: body/);
  });
  await using silent = listenInside(async (connection) => {
    await read(connection, () => false);
    connection.close();
  });
  await withDoor(1, async (port) => {
    assertMatch(await answerTo(port, upgrade("/nats")), /^HTTP\/1\.1 503 [^]*the broker does not answer now/);
  });
  await withDoor(silent.port, async (port) => {
    using _first = await connect(port, upgrade("/nats"));
    await systemClock.sleep(50);
    assertMatch(await answerTo(port, upgrade("/nats")), /^HTTP\/1\.1 503 [^]*1 connections have just begun/);
  }, { mostYoung: 1, youngMs: 60_000 });
});

Deno.test("who has left or been cut makes room, and the API's end does not wait for the broker's connections", async () => {
  await using silent = listenInside((connection) => {
    read(connection, () => false).catch(() => {}).finally(() => connection.close());
    return Promise.resolve();
  });
  await withDoor(silent.port, async (port, close) => {
    for (let round = 0; round < 3; round++) {
      (await connect(port, upgrade("/nats"))).close();
      await systemClock.sleep(50);
    }
    using last = await connect(port, upgrade("/nats"));
    await systemClock.sleep(50);
    close();
    assertEquals(await read(last, () => false).catch(() => ""), "");
  }, { mostYoung: 1, youngMs: 60_000 });
  const natsDoor = createNatsDoor({ port: () => silent.port, clock: systemClock });
  const server = await serveHttp({
    ...{ hostname: "127.0.0.1", port: 0, tls: null, clock: systemClock, natsDoor },
    handler: () => new Response(),
    onDefect: () => {},
  });
  using open = await connect(server.port, upgrade("/nats"));
  await systemClock.sleep(50);
  const begun = Date.now();
  await server.shutdown();
  assert(Date.now() - begun < 1000, "it has waited");
  natsDoor.close();
  assertEquals(await read(open, () => false).catch(() => ""), "");
});

import { assert, assertEquals, assertMatch } from "@std/assert";
import { systemClock } from "../../../shared/clock.ts";
import { withWorld } from "../../testing/app_fixture.ts";
import type { World, WorldOptions } from "../../testing/app_fixture.ts";
import { serveHttp } from "./http_server.ts";

const HEADER_TIMEOUT_MS = 300;

interface Served {
  readonly world: World;
  readonly url: string;
  readonly port: number;
  readonly defects: string[];
}

async function withServer(options: WorldOptions, body: (served: Served) => Promise<void>): Promise<void> {
  await withWorld(options, async (world) => {
    const { defects } = world;
    const server = await serveHttp({
      ...{
        hostname: "127.0.0.1",
        port: 0,
        tls: null,
        headerTimeoutMs: HEADER_TIMEOUT_MS,
        clock: systemClock,
      },
      handler: (request) => world.app.fetch(request),
      onDefect: (message) => void defects.push(message),
    });
    try {
      await body({ world, url: `http://127.0.0.1:${server.port}`, port: server.port, defects });
    } finally {
      await server.shutdown();
    }
  });
}

/** All that the server answers until it closes the connection. */
async function send(port: number, ...texts: string[]): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  for (const text of texts) await connection.write(new TextEncoder().encode(text));
  const decoder = new TextDecoder();
  let answer = "";
  try {
    for await (const chunk of connection.readable) answer += decoder.decode(chunk);
  } catch {
    // Reset: what came before counts.
  }
  return answer;
}

const request = (line: string, host = "127.0.0.1") =>
  `${line} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;

Deno.test("TRACE, TRACK and methods in lower case get 405, with an API key or without", async () => {
  for (const apiKeys of [[], ["key"]]) {
    await withServer({ apiKeys }, async ({ port, defects }) => {
      for (const method of ["TRACE", "TRACK", "CONNECT", "get", "Post", "BREW"]) {
        for (const path of ["/healthz", "/v1/files"]) {
          const answer = await send(port, request(`${method} ${path}`));
          assertMatch(answer, /^HTTP\/1\.1 405 [^]*\r\nallow: GET[^]*"code":"method_not_allowed"/i, answer);
        }
      }
      assertEquals(defects, []);
    });
  }
});

Deno.test("a malformed Host gets 400 before authentication", async () => {
  for (const apiKeys of [[], ["key"]]) {
    await withServer({ apiKeys }, async ({ port, defects }) => {
      for (const host of ["a b", "127.0.0.1:99999", "[::1", "a/b", "user@a", "a:b", "", "é", "a?b", "a#b"]) {
        const answer = await send(port, request("GET /v1/files", host));
        assertMatch(answer, /^HTTP\/1\.1 400 [^]*"(message|error)"/, `${host}: ${answer}`);
      }
      assertMatch(
        await send(port, "GET /v1/files HTTP/1.1\r\nConnection: close\r\n\r\n"),
        /^HTTP\/1\.1 400 /,
      );
      assertMatch(await send(port, request("GET /healthz", `127.0.0.1:${port}`)), /^HTTP\/1\.1 200 /);
      assertEquals(defects, []);
    });
  }
});

Deno.test("an unfinished request header times out, on a new connection and on a reused one", () =>
  withServer({}, async ({ port, url }) => {
    const begun = Date.now();
    const whole = `GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;
    const answers = await Promise.all([
      send(port, "GET /healthz HTTP/1.1\r\nHost: 127.0"),
      send(port, ""),
      send(port, whole, "GET /healthz HT"),
    ]);
    const seconds = (Date.now() - begun) / 1000;
    assert(seconds < 5, `${seconds} s`);
    assertMatch(answers[0]!, /^HTTP\/1\.1 408 /);
    assertMatch(answers[2]!, /^HTTP\/1\.1 200 [^]*"ok"/);
    // Whoever sends whole requests is served all the while.
    assertEquals((await (await fetch(`${url}/healthz`)).json()).status, "ok");
  }));

Deno.test("JSON announced as too large is refused before it is read", () =>
  withServer({}, async ({ port }) => {
    const head =
      "POST /v1/fine_tuning/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\ncontent-type: application/json\r\n" +
      "connection: close\r\ncontent-length: 99999999999999\r\n\r\n{";
    assertMatch(await send(port, head), /^HTTP\/1\.1 413 [^]*"code":"body_too_large"/);
  }));

Deno.test("a client that disconnects mid-transfer is no defect and leaves no file", () =>
  withServer({ maxUploadBytes: 50_000_000 }, async ({ port, defects, world, url }) => {
    const head =
      "POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\ncontent-type: multipart/form-data; boundary=b\r\n" +
      'content-length: 9000\r\n\r\n--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nxx';
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(new TextEncoder().encode(head));
    const parts = () => Array.fromAsync(Deno.readDir(`${world.folder}/files`)).catch(() => []);
    while ((await parts()).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    connection.close();
    while ((await parts()).length > 0) await new Promise((resolve) => setTimeout(resolve, 5));

    const { id } = await world.upload("x".repeat(40_000_000));
    const download = await fetch(`${url}/v1/files/${id}/content`);
    await download.body!.cancel();
    assertEquals(
      (await fetch(`${url}/v1/files/${id}/content`).then((whole) => whole.text())).length,
      40_000_000,
    );
    assertEquals(defects, []);
  }));

Deno.test("bodies arrive whole both ways, an early refusal reaches a client that is still sending, HEAD has no body", () =>
  withServer({ maxUploadBytes: 3_000_000 }, async ({ url }) => {
    const upload = (size: number) => {
      const form = new FormData();
      form.append("purpose", "fine-tune");
      form.append("file", new File([new Uint8Array(size).fill(97)], "ä.jsonl"));
      return fetch(`${url}/v1/files`, { method: "POST", body: form });
    };
    const { id, bytes } = await (await upload(2_500_000)).json();
    assertEquals(bytes, 2_500_000);
    const content = await fetch(`${url}/v1/files/${id}/content`);
    assertEquals((await content.text()).length, 2_500_000);
    const head = await fetch(`${url}/v1/files/${id}/content`, { method: "HEAD" });
    assertEquals([head.headers.get("content-length"), await head.text()], ["2500000", ""]);
    const large = await upload(3_500_000);
    assertEquals([large.status, (await large.json()).error.code], [413, "file_too_large"]);
  }));

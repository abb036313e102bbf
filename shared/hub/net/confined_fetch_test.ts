import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../errors.ts";
import { createConfinedFetch } from "./confined_fetch.ts";

const HUB = "https://hub.example";
const ADDRESSES: Record<string, string[]> = {
  "hub.example": ["93.184.216.34"],
  "cdn.example": ["93.184.216.35"],
  "inside.example": ["93.184.216.36", "10.0.0.7"],
  "mirror.internal": ["10.0.0.8"],
};

/** `places`: where each URL leads; any other answers 200. */
function fetchFrom(endpoint: string, places: Record<string, string>) {
  const asked: [string, string | null][] = [];
  const confined = createConfinedFetch({
    endpoint,
    resolve: (hostname) => Promise.resolve(ADDRESSES[hostname] ?? []),
    fetch: (input) => {
      const { url, headers, redirect } = input as Request;
      void redirect;
      asked.push([url, headers.get("authorization")]);
      const location = places[url];
      return Promise.resolve(
        location === undefined
          ? new Response("the file")
          : new Response(null, { status: 302, headers: { location } }),
      );
    },
  });
  const get = (url: string) =>
    confined(url, { headers: { authorization: "Bearer hf_secret", range: "bytes=0-" } });
  return { get, asked, confined };
}

Deno.test("a hub may redirect to a different public server, which does not get our token", async () => {
  const { get, asked } = fetchFrom(HUB, {
    [`${HUB}/file`]: "/moved",
    [`${HUB}/moved`]: "https://cdn.example/blob",
  });
  assertEquals(await (await get(`${HUB}/file`)).text(), "the file");
  assertEquals(asked, [
    [`${HUB}/file`, "Bearer hf_secret"],
    [`${HUB}/moved`, "Bearer hf_secret"],
    ["https://cdn.example/blob", null],
  ]);
});

Deno.test("a hub may not redirect to a private address, out of TLS, to a file, or in a loop", async () => {
  const cases: [string, string][] = [
    ["https://169.254.169.254/latest/meta-data", "a private address"],
    ["https://[::1]/x", "a private address"],
    ["https://2130706433/x", "a private address"],
    ["https://inside.example/x", "a private address"],
    ["https://unknown.example/x", "a private address"],
    ["http://cdn.example/x", "which is not https://"],
    ["file:///etc/passwd", "which is not https://"],
    [`${HUB}/file`, "redirects more than"],
  ];
  for (const [location, part] of cases) {
    const { get, asked } = fetchFrom(HUB, { [`${HUB}/file`]: location });
    const error = await assertRejects(() => get(`${HUB}/file`), LoraFleetError, part);
    assertEquals(error.code, "invalid_request");
    assertEquals(new Set(asked.map(([url]) => url)), new Set([`${HUB}/file`]));
  }
});

Deno.test("a private mirror may redirect to private addresses", async () => {
  const mirror = "http://mirror.internal:8080";
  const { get } = fetchFrom(mirror, { [`${mirror}/file`]: "http://10.0.0.9/blob" });
  assertEquals((await get(`${mirror}/file`)).status, 200);
});

Deno.test("a request with a body is not redirected", async () => {
  const { confined } = fetchFrom(HUB, { [`${HUB}/upload`]: "https://cdn.example/x" });
  await assertRejects(() => confined(`${HUB}/upload`, { method: "POST", body: "x" }), LoraFleetError, "POST");
});

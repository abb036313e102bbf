import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { Fetch } from "../transfer/http.ts";
import { askJoinUrl, sameBroker } from "./join.ts";

const REPLY = {
  natsUrl: "nats://127.0.0.1:4222",
  natsUser: "worker",
  natsPassword: "password",
  httpUrl: "http://127.0.0.1:8787",
  token: "token",
  coordinatorId: "c",
};
const URL = "http://127.0.0.1:8787/join/very-secret";

function ask(fetch: Fetch, token: string | null = null) {
  const clock = createFakeClock();
  const answer = askJoinUrl({
    url: URL,
    publicKey: "UKEY",
    token,
    fetch,
    clock,
    timeoutMs: 1000,
    signal: new AbortController().signal,
  });
  return { answer, clock };
}

async function refusal(fetch: Fetch): Promise<LoraFleetError> {
  const error = await assertRejects(() => ask(fetch).answer, LoraFleetError);
  assertEquals(error.message.includes("very-secret"), false, "the message must not hold the token");
  assertStringIncludes(error.message, `"http://127.0.0.1:8787/join/…"`);
  return error;
}

Deno.test("the reply is the coordinator's; a newer release may add fields", async () => {
  for (const token of [null, "mine"]) {
    const asked: [string, RequestInit][] = [];
    const { answer } = ask((url, init) => {
      asked.push([url, init]);
      return Promise.resolve(Response.json({ ...REPLY, news: 1 }));
    }, token);
    assertEquals(await answer, REPLY);
    const [[url, { method, body, headers, redirect }]] = asked as [[string, RequestInit]];
    assertEquals([url, method, body, redirect], [URL, "POST", '{"publicKey":"UKEY"}', "error"]);
    assertEquals(new Headers(headers).get("authorization"), token === null ? null : "Bearer mine");
  }
});

Deno.test("a refused token is final", async () => {
  for (const status of [401, 403]) {
    const error = await refusal(() => Promise.resolve(new Response("{}", { status })));
    assertEquals([error.code, error.param], ["unauthorized", "join"]);
    assertStringIncludes(error.message, "the join token is wrong");
  }
  const body = { error: { message: "it was revoked 5 s ago" } };
  const refused = await refusal(() => Promise.resolve(Response.json(body, { status: 401 })));
  assertStringIncludes(refused.message, "refuses this worker (401): it was revoked 5 s ago");
});

Deno.test("any other failure can be retried", async () => {
  const answers: [string, Fetch][] = [
    ["connection refused", () => Promise.reject(new TypeError("connection refused"))],
    ["the answer is 502", () => Promise.resolve(new Response("bad gateway", { status: 502 }))],
    ["does not come from a coordinator", () => Promise.resolve(new Response("<html>"))],
    [`"natsUrl"`, () => Promise.resolve(Response.json({ ...REPLY, natsUrl: 7 }))],
  ];
  for (const [words, fetch] of answers) {
    const error = await refusal(fetch);
    assertStringIncludes(error.message, words);
    assertEquals(error.code, "timeout");
  }
});

Deno.test("a coordinator that never answers times out", async () => {
  const { answer, clock } = ask(() => new Promise(() => {}));
  const check = assertRejects(() => answer, LoraFleetError, "took longer than 1000 ms");
  await clock.advance(1000);
  await check;
});

Deno.test("brokers differ if their address, user or password differs", () => {
  assertEquals(sameBroker(REPLY, { ...REPLY, token: "other", httpUrl: "http://other" }), true);
  for (
    const change of [{ natsUrl: "nats://b" }, { natsUser: "b" }, { natsPassword: "b" }, {
      natsTakesToken: true,
    }]
  ) {
    assertEquals(sameBroker(REPLY, { ...REPLY, ...change }), false);
  }
});

for (
  const [what, cause, words] of [
    [
      "a port where nothing listens",
      `error sending request for url (${URL}): client error (Connect): tcp connect error: Connection refused (os error 111)`,
      "nothing listens there: is the coordinator running, and is this its port? (tcp connect error: Connection refused (os error 111))",
    ],
    [
      "a broker's port",
      `error sending request for url (${URL}): client error (SendRequest): invalid HTTP version parsed`,
      "is this the API port, not the broker's?",
    ],
    [
      "a port without TLS",
      `error sending request for url (${URL}): client error (Connect): received corrupt message of type InvalidContentType`,
      "is it http:// instead of https://?",
    ],
    [
      "an unknown host",
      `error sending request for url (${URL}): client error (Connect): dns error: failed to lookup address information`,
      "is it spelled right?",
    ],
    ["anything else", `error sending request for url (${URL}): it rains`, "it rains"],
  ] as const
) {
  Deno.test(`the reason for a failed request, in one line without the secret: ${what}`, async () => {
    const error = await refusal(() =>
      Promise.reject(new TypeError("fetch failed", { cause: new Error(cause) }))
    );
    assertStringIncludes(error.message, words);
    assertEquals(error.message.includes("\n"), false);
  });
}

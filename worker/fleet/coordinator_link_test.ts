import { assertEquals, assertRejects } from "@std/assert";
import type { Bus } from "../../shared/bus/bus.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { CoordinatorLink } from "./coordinator_link.ts";
import type { JoinReply } from "./join.ts";

const REPLY: JoinReply = {
  natsUrl: "nats://a",
  natsUser: "u",
  natsPassword: "p",
  httpUrl: "http://a",
  token: "t",
  coordinatorId: "c",
};
const never = new Promise<never>(() => {});

/** `answers` of the join URL, the last one again and again. */
function linkTo(answers: readonly (JoinReply | LoraFleetError | Promise<never>)[], failingConnections = 0) {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const seen = {
    joins: 0,
    tokens: [] as (string | null)[],
    connections: [] as string[],
    closed: [] as string[],
    log: [] as string[],
  };
  const stop = new AbortController();
  const link = new CoordinatorLink({
    join: (_signal, token) => {
      seen.tokens.push(token);
      const answer = answers[Math.min(seen.joins++, answers.length - 1)]!;
      return answer instanceof LoraFleetError ? Promise.reject(answer) : Promise.resolve(answer);
    },
    connect: (reply, purpose) => {
      seen.connections.push(`${reply.natsUrl} ${purpose}`);
      if (purpose === "gradients" && failingConnections-- > 0) {
        return Promise.reject(new LoraFleetError("unauthorized", "wrong password"));
      }
      const bus: Bus = broker.connect(purpose);
      return Promise.resolve({ ...bus, close: () => (seen.closed.push(purpose), bus.close()) });
    },
    clock,
    limits: LIMITS,
    log: (_, message) => void seen.log.push(message),
    signal: stop.signal,
  });
  return { link, clock, seen, stop };
}

const down = new LoraFleetError("timeout", "connection refused");
const refused = new LoraFleetError("unauthorized", "the token is wrong", { param: "join" });

Deno.test("two connections, as soon as the join URL answers; a repeated failure is logged once", async () => {
  const { link, clock, seen } = linkTo([down, down, REPLY]);
  const connecting = link.connect(never);
  await clock.advance(2 * LIMITS.retryIntervalMs);
  assertEquals((await connecting) !== null, true);
  assertEquals(seen.connections, ["nats://a control", "nats://a gradients"]);
  assertEquals(seen.log, ["connection refused; trying again"]);
  assertEquals(link.reply, REPLY);
});

Deno.test("a refusing broker is retried with the join URL's newest reply", async () => {
  const { link, clock, seen } = linkTo([REPLY, { ...REPLY, natsUrl: "nats://b" }], 1);
  const connecting = link.connect(never);
  await clock.advance(LIMITS.retryIntervalMs);
  await connecting;
  assertEquals(seen.connections.at(-1), "nats://b gradients");
  assertEquals(seen.closed, ["control"], "half a connection is none");
});

Deno.test("a refused token is final, at first and later", async () => {
  await assertRejects(() => linkTo([refused]).link.connect(never), LoraFleetError, "the token is wrong");
  const { link } = linkTo([REPLY, refused]);
  await link.connect(never);
  await assertRejects(() => link.search(() => false), LoraFleetError, "the token is wrong");
});

Deno.test("a cancelled connect waits neither for an answer nor for the next try", async () => {
  for (const answer of [never, down]) {
    const { link, clock } = linkTo([answer]);
    const cancelled = Promise.withResolvers<void>();
    const connecting = link.connect(cancelled.promise);
    await clock.advance(10);
    cancelled.resolve();
    assertEquals(await connecting, null);
    assertEquals(clock.nextWakeAt, null);
  }
});

Deno.test("a search ends with a different broker, the same one, or when the coordinator is heard", async () => {
  const { link, clock, seen } = linkTo([REPLY, down, { ...REPLY, token: "new" }, {
    ...REPLY,
    natsPassword: "new",
  }, down]);
  await link.connect(never);
  const first = link.search(() => false);
  await clock.advance(LIMITS.retryIntervalMs);
  assertEquals(await first, false);
  assertEquals(link.reply.token, "new");
  assertEquals(await link.search(() => false), true);
  let isHeard = false;
  const third = link.search(() => isHeard);
  await clock.advance(3 * LIMITS.retryIntervalMs);
  const { joins } = seen;
  isHeard = true;
  await clock.advance(LIMITS.retryIntervalMs);
  assertEquals([await third, seen.joins], [false, joins]);
});

Deno.test("a token is renewed with itself at half of its lifetime, with retries; a refusal is final", async () => {
  const first = { ...REPLY, token: "first", tokenLifetimeMs: 100_000 };
  const { link, clock, seen } = linkTo([first, down, { ...first, token: "second" }, refused]);
  await link.connect(never);
  const kept = link.keepToken();
  const ended = assertRejects(() => kept, LoraFleetError, "the token is wrong");
  await clock.advance(49_000);
  assertEquals(seen.tokens, [null]);
  await clock.advance(1000);
  assertEquals([link.reply.token, seen.tokens], ["first", [null, "first"]]);
  await clock.advance(LIMITS.retryIntervalMs);
  assertEquals([link.reply.token, seen.tokens], ["second", [null, "first", "first"]]);
  await clock.advance(60_000);
  await ended;
  assertEquals(seen.tokens.at(-1), "second");
});

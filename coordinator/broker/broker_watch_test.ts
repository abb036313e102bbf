import { assertEquals, assertMatch } from "@std/assert";
import type { Clock } from "../../shared/clock.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { createBrokerHealth } from "./broker_health.ts";
import { isRestartDue, watchBroker } from "./broker_watch.ts";

Deno.test("a broker that stores nothing for seconds is restarted, then at growing intervals", () => {
  const trouble = { problem: "timeout", since: 0 };
  const none = { count: 0, at: -Infinity };
  assertEquals(isRestartDue(null, none, 1e9), false);
  assertEquals([4999, 5000].map((now) => isRestartDue(trouble, none, now)), [false, true]);
  const waits = [1, 2, 3, 4, 9].map((count) => {
    for (let now = 0;; now += 1000) if (isRestartDue(trouble, { count, at: 5000 }, now)) return now - 5000;
  });
  assertEquals(waits, [10_000, 20_000, 40_000, 60_000, 60_000]);
});

Deno.test("a coordinator that stood still does not blame its broker, unless it stores nothing afterwards either", async () => {
  const clock = createFakeClock(1_000_000);
  let stoodStillMs = 0;
  const jumping: Clock = { now: () => clock.now() + stoodStillMs, sleep: clock.sleep };
  const health = createBrokerHealth(jumping);
  const restarts: string[] = [];
  const ending = new AbortController();
  const watched = watchBroker({
    ...{ health, clock: jumping, log: () => {}, signal: ending.signal, assertRoom: () => Promise.resolve() },
    restart: (reason) => {
      restarts.push(reason);
      return Promise.resolve();
    },
  });
  await clock.advance(10_000);
  health.report("lease", "timeout");
  await clock.advance(200);
  stoodStillMs = 11_000;
  await clock.advance(4_000);
  assertEquals(restarts, []);
  await clock.advance(2_000);
  assertEquals(restarts, ["nats-server runs, but has stored nothing for 17 s (timeout)"]);
  ending.abort();
  await watched;
});

Deno.test("health combines all reporters; the oldest trouble counts", async () => {
  const clock = createFakeClock(100);
  const health = createBrokerHealth(clock);
  assertEquals(health.trouble, null);
  health.report("lease", "timeout");
  await clock.advance(10);
  health.report("ftjob-a", "no space");
  health.report("lease", "no responders");
  assertEquals(health.trouble, { problem: "no responders", since: 100 });
  health.report("lease", null);
  assertEquals(health.trouble, { problem: "no space", since: 110 });
  health.report("ftjob-a", null);
  assertEquals(health.trouble, null);
});

Deno.test("a broker with a full disk is not restarted, with one log line; with room it is", async () => {
  const clock = createFakeClock(1_000_000);
  const health = createBrokerHealth(clock);
  const logged: string[] = [];
  const restarts: string[] = [];
  let isFull = true;
  const ending = new AbortController();
  const watched = watchBroker({
    ...{ health, clock, signal: ending.signal },
    log: (level, message) => void logged.push(`${level} ${message}`),
    assertRoom: () => isFull ? Promise.reject(new LoraFleetError("storage", "no space")) : Promise.resolve(),
    restart: (reason) => {
      restarts.push(reason);
      health.report("lease", null);
      return Promise.resolve();
    },
  });
  await clock.advance(10_000);
  health.report("lease", "JetStream is not enabled");
  await clock.advance(30_000);
  assertEquals([restarts, logged], [[], ["warn the broker stores nothing: no space"]]);
  isFull = false;
  await clock.advance(1000);
  assertEquals(restarts.length, 1);
  assertMatch(restarts[0]!, /has stored nothing for 3\d s \(JetStream is not enabled\)/);
  await clock.advance(60_000);
  assertEquals(restarts.length, 1);
  ending.abort();
  await watched;
});

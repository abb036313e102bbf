import { assertEquals } from "@std/assert";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { createConnectivity } from "./connectivity.ts";

const limits = { ...LIMITS, heartbeatIntervalMs: 250, reconnectGraceMs: 2000 };

Deno.test("connected and asked in time: no blackout", () => {
  const connectivity = createConnectivity(0, limits);
  assertEquals([250, 500, 800, 1250].map(connectivity.blackoutMs), [0, 0, 0, 0]);
});

Deno.test("the sleep of a process is a blackout, but for the usual interval", () => {
  const connectivity = createConnectivity(0, limits);
  assertEquals([250, 5500, 5750].map(connectivity.blackoutMs), [0, 5000, 0]);
});

Deno.test("time without the leader lease is a blackout", () => {
  let isHeld = true;
  const connectivity = createConnectivity(0, limits, () => isHeld);
  assertEquals(connectivity.blackoutMs(250), 0);
  isHeld = false;
  assertEquals([500, 750].map(connectivity.blackoutMs), [250, 250]);
  isHeld = true;
  assertEquals(connectivity.blackoutMs(1000), 0);
});

Deno.test("a lost connection is a blackout, with a grace period after reconnecting", () => {
  const connectivity = createConnectivity(0, limits);
  connectivity.statusChanged("disconnected", 100);
  assertEquals([250, 500].map(connectivity.blackoutMs), [250, 250]);
  connectivity.statusChanged("reconnected", 600);
  assertEquals([750, 2500, 2750, 3000].map(connectivity.blackoutMs), [250, 1750, 100, 0]);
});

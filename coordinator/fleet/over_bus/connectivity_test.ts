import { assertEquals } from "@std/assert";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { createHearing } from "./connectivity.ts";

const limits = { ...LIMITS, heartbeatIntervalMs: 250, reconnectGraceMs: 2000 };

Deno.test("asked in time, and connected: it hears", () => {
  const hearing = createHearing(0, limits);
  assertEquals([250, 500, 800, 1250].map(hearing.deafMs), [0, 0, 0, 0]);
});

Deno.test("a process that slept was deaf but for the usual time", () => {
  const hearing = createHearing(0, limits);
  assertEquals([250, 5500, 5750].map(hearing.deafMs), [0, 5000, 0]);
});

Deno.test("while it is not certain to lead it is deaf", () => {
  let isHeld = true;
  const hearing = createHearing(0, limits, () => isHeld);
  assertEquals(hearing.deafMs(250), 0);
  isHeld = false;
  assertEquals([500, 750].map(hearing.deafMs), [250, 250]);
  isHeld = true;
  assertEquals(hearing.deafMs(1000), 0);
});

Deno.test("without a connection it is deaf, and for a while after it is back", () => {
  const hearing = createHearing(0, limits);
  hearing.statusChanged("disconnected", 100);
  assertEquals([250, 500].map(hearing.deafMs), [250, 250]);
  hearing.statusChanged("reconnected", 600);
  assertEquals([750, 2500, 2750, 3000].map(hearing.deafMs), [250, 1750, 100, 0]);
});

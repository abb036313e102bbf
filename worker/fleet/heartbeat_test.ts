import { assertEquals } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type Heartbeat, heartbeatSchema } from "../../shared/protocol/messages_worker.ts";
import { startHeartbeats } from "./heartbeat.ts";

const STATE: Heartbeat = {
  worker: "w-a",
  incarnation: "i-1",
  name: "a",
  gpu: "toy",
  draining: false,
  maxGapMs: 0,
  microBatchesDone: 0,
  tokensPerSecond: 0,
  gradientBytesSent: 0,
  linkBytesPerSecond: null,
  job: null,
  busy: null,
};

Deno.test("heartbeats come at their interval, at once after a change, and never after the end", async () => {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const received: [number, number][] = [];
  broker.connect("coordinator").subscribe("lf.heartbeat.w-a", ({ data }) => {
    received.push([clock.now(), decodeMessage(heartbeatSchema, data, "heartbeat").microBatchesDone]);
  });
  const stop = new AbortController();
  let microBatchesDone = 0;
  const log: string[] = [];
  const bus = broker.connect("worker");
  const beat = startHeartbeats({
    bus,
    clock,
    limits: { ...LIMITS, heartbeatIntervalMs: 250 },
    describe: () => ({ ...STATE, microBatchesDone }),
    signal: stop.signal,
    log: (_, message) => void log.push(message),
  });
  await clock.advance(300);
  microBatchesDone = 1;
  beat();
  await clock.advance(200);
  assertEquals(received, [[0, 0], [250, 0], [300, 1], [500, 1]]);
  await bus.close();
  await clock.advance(1000);
  assertEquals(log.length, 1, "a broken connection is logged once");
  stop.abort();
  beat();
  await clock.advance(1000);
  assertEquals([received.length, log.length], [4, 1]);
});

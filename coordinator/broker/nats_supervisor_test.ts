import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { NatsServer } from "./nats_server.ts";
import { backOffMs, superviseNatsServer } from "./nats_supervisor.ts";

/** Starts with these numbers, from 1, find the port taken, or no room on the disk. */
function setUp(failures: readonly number[] = [], full: readonly number[] = []) {
  const clock = createFakeClock(1_000_000);
  const starts: [port: number, at: number][] = [];
  const logged: string[] = [];
  const servers: { die(log: string): void; stops: number }[] = [];
  const start = (port: number): Promise<NatsServer> => {
    starts.push([port, clock.now() - 1_000_000]);
    if (failures.includes(starts.length)) {
      return Promise.reject(new LoraFleetError("port_in_use", "the port is taken"));
    }
    if (full.includes(starts.length)) return Promise.reject(new LoraFleetError("storage", "no space left"));
    const ended = Promise.withResolvers<string>();
    const server = { die: ended.resolve, stops: 0 };
    servers.push(server);
    return Promise.resolve({
      port: 4333,
      url: "nats://127.0.0.1:4333",
      webSocketPort: null,
      version: "2.9.10",
      ended: ended.promise,
      stop: () => {
        server.stops++;
        ended.resolve("stopped");
        return Promise.resolve();
      },
    });
  };
  const log = (level: string, message: string) => void logged.push(`${level} ${message}`);
  return { clock, starts, logged, servers, options: { start, clock, log } };
}

Deno.test("the back-off grows with recent deaths and is bounded", () => {
  assertEquals([1, 2, 3, 4, 5, 6].map((count) => backOffMs(Array(count).fill(1000), 1000)), [
    100,
    500,
    1000,
    2000,
    4000,
    null,
  ]);
  assertEquals(backOffMs([0, 0, 0, 0, 0, 0, 60_000], 60_000), 100);
});

Deno.test("a broker that dies restarts on its port; a failed start counts as a death", async () => {
  const { clock, starts, logged, servers, options } = setUp([2]);
  const supervised = await superviseNatsServer(0, options);
  servers[0]!.die("killed");
  await clock.advance(1000);
  assertEquals(starts, [[0, 0], [4333, 100], [4333, 600]]);
  assertEquals(logged, [
    "warn killed; restarting it on port 4333",
    "warn the port is taken; restarting it on port 4333",
    "info nats-server listens on port 4333 again",
  ]);
  await supervised.stop();
  assertEquals([servers[1]!.stops, await supervised.ended], [1, "stopped"]);
});

Deno.test("a broker that keeps dying is given up with its last log lines", async () => {
  const { clock, starts, servers, options } = setUp();
  const supervised = await superviseNatsServer(4333, options);
  for (let death = 0; death < 6; death++) {
    servers[death]!.die(`log ${death}`);
    await clock.advance(5000);
  }
  assertMatch(await supervised.ended, /^log 5; it has ended 6 times and is not restarted$/);
  assertEquals(starts.length, 6);
  await supervised.stop();
});

Deno.test("a broker stopped during its back-off stays down", async () => {
  const { clock, starts, servers, options } = setUp();
  const supervised = await superviseNatsServer(4333, options);
  servers[0]!.die("killed");
  await clock.advance(50);
  await supervised.stop();
  await clock.advance(10_000);
  assertEquals(starts.length, 1);
});

Deno.test("a failed first start rejects", async () => {
  const { options } = setUp([1]);
  await assertRejects(() => superviseNatsServer(4333, options), LoraFleetError, "taken");
});

Deno.test("a requested restart happens at once on the same port and does not count as a death", async () => {
  const { clock, starts, logged, servers, options } = setUp();
  const supervised = await superviseNatsServer(4333, options);
  for (let time = 0; time < 7; time++) {
    await supervised.restart("it stores nothing");
    await clock.advance(10);
  }
  assertEquals([starts.length, servers[0]!.stops], [8, 1]);
  assertEquals(logged[0], "warn it stores nothing; restarting it on port 4333");
  await supervised.stop();
});

Deno.test("a full disk is awaited without limit and logged once", async () => {
  const full = Array.from({ length: 20 }, (_, index) => index + 2);
  const { clock, starts, logged, servers, options } = setUp([], full);
  const supervised = await superviseNatsServer(4333, options);
  servers[0]!.die("panic: no space");
  await clock.advance(60_000);
  assertEquals(starts.length, 22);
  assertEquals(logged, [
    "warn panic: no space; restarting it on port 4333",
    "warn no space left; nats-server is started as soon as there is room",
    "info nats-server listens on port 4333 again",
  ]);
  await supervised.stop();
});

import { assertEquals } from "@std/assert";
import { runBusContract } from "./bus_contract/bus_contract.ts";
import { createFakeClock } from "./fake_clock.ts";
import { createMemoryBroker } from "./memory_bus.ts";

Deno.test("the bus in memory keeps the contract", async (t) => {
  const clock = createFakeClock(1_000_000);
  const broker = createMemoryBroker({ clock, maxPayloadBytes: 4096 });
  await runBusContract(t, {
    connect: (onError) => Promise.resolve(broker.connect("client", onError)),
    pass: (milliseconds) => clock.advance(milliseconds),
    during: async (milliseconds, promise) => {
      let isSettled = false;
      promise.then(() => isSettled = true, () => isSettled = true);
      await clock.advance(0);
      for (let passed = 0; passed < milliseconds && !isSettled; passed += 10) await clock.advance(10);
      return await promise;
    },
  });
});

Deno.test("two runs of the same program see the same sequence", async () => {
  const run = async () => {
    const clock = createFakeClock();
    const broker = createMemoryBroker({ clock });
    const seen: string[] = [];
    const buses = Array.from({ length: 30 }, (_, index) => broker.connect(`client${index}`));
    buses.forEach((bus, index) => {
      bus.subscribe("all", ({ data }) => {
        seen.push(`${clock.now()} ${index} ${data[0]}`);
        if (data[0]! < 3) bus.publish(`to.${(index * 7) % 30}`, new Uint8Array([data[0]! + 1]));
      });
      bus.subscribe(`to.${index}`, ({ data }) => void seen.push(`${index} received ${data[0]}`));
    });
    for (let turn = 0; turn < 3; turn++) {
      await clock.advance(turn);
      buses[turn]!.publish("all", new Uint8Array([turn]));
      await buses[0]!.flush();
    }
    return seen;
  };
  const first = await run();
  assertEquals(first.length, 3 * (30 + 30));
  assertEquals(await run(), first);
});

Deno.test("a publish costs what it reaches, with thousands of clients", async () => {
  const broker = createMemoryBroker({ clock: createFakeClock() });
  let heard = 0;
  const buses = Array.from({ length: 5000 }, (_, index) => {
    const bus = broker.connect(`client${index}`);
    bus.subscribe(`lf.job.to.${index}.*`, () => void heard++);
    bus.subscribe("lf.all", () => void heard++);
    return bus;
  });
  for (let index = 0; index < 5000; index++) {
    buses[index]!.publish(`lf.job.to.${(index * 17) % 5000}.x`, new Uint8Array());
  }
  buses[0]!.publish("lf.all", new Uint8Array());
  await buses[0]!.flush();
  assertEquals(heard, 10_000);
});

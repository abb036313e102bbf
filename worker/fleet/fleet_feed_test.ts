import { assertEquals, assertMatch } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import { fleetStateSchema } from "../../shared/protocol/messages_coordinator.ts";
import { FLEET_SUBJECT } from "../../shared/protocol/subjects.ts";
import { listenToFleet } from "./fleet_feed.ts";

Deno.test("the newest state counts and ends the silence; an older or unreadable one does neither", async () => {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const coordinator = broker.connect("coordinator");
  const log: string[] = [];
  let changes = 0;
  const feed = listenToFleet({
    bus: broker.connect("worker"),
    clock,
    log: (_, message) => void log.push(message),
    onChange: () => void changes++,
  });
  const announce = async (generation: number, term = 1) => {
    const state = { coordinatorId: "c", term, generation, members: [], job: null };
    coordinator.publish(FLEET_SUBJECT, encodeMessage(fleetStateSchema, state));
    await coordinator.flush();
  };
  assertEquals(feed.since({ term: 0, generation: 0 }), null);
  await clock.advance(500);
  assertEquals(feed.silentMs, 500);
  await announce(7);
  await clock.advance(100);
  await announce(6);
  assertEquals([feed.since({ term: 1, generation: 7 })?.generation, feed.since({ term: 1, generation: 8 })], [
    7,
    null,
  ]);
  assertEquals([feed.silentMs, feed.announcementCount, changes], [100, 1, 1]);
  await announce(7);
  assertEquals([feed.silentMs, feed.announcementCount, changes], [0, 2, 2]);
  await clock.advance(300);
  coordinator.publish(FLEET_SUBJECT, new TextEncoder().encode("{}"));
  await coordinator.flush();
  assertMatch(log[0]!, /the state of the fleet/);
  assertEquals([feed.silentMs, feed.announcementCount], [300, 2]);
  await announce(1, 2);
  assertEquals(feed.since({ term: 1, generation: 7 })?.generation, 1);
  await clock.advance(300);
  feed.restartSilence();
  assertEquals(feed.silentMs, 0);
});

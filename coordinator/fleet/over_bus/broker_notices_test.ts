import { assertEquals } from "@std/assert";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { createBrokerHealth } from "../../broker/broker_health.ts";
import { SILENT_OBSERVER } from "../../training/step_fixture.ts";
import { createBrokerNotices } from "./broker_notices.ts";

function world() {
  const clock = createFakeClock();
  const health = createBrokerHealth(clock);
  const events: string[] = [];
  const observer = { ...SILENT_OBSERVER, event: (_: string, message: string) => void events.push(message) };
  return { clock, health, events, observer, notices: createBrokerNotices(health, clock) };
}

Deno.test("trouble of the broker is an event once it has lasted, and so is its end", async () => {
  const { clock, health, events, observer, notices } = world();
  health.report("ftjob-a", "no space");
  notices.update(observer);
  assertEquals(events, []);
  await clock.advance(2000);
  notices.update(observer);
  notices.update(observer);
  assertEquals(events, [
    "The broker does not store messages (no space): the job waits and goes on by itself.",
  ]);
  await clock.advance(3000);
  health.report("ftjob-a", null);
  notices.update(observer);
  notices.update(observer);
  assertEquals(events.slice(1), ["The broker stores messages again, after 5 s: the job goes on."]);
});

Deno.test("the next job learns of trouble that began with the last one", async () => {
  const { clock, health, events, observer, notices } = world();
  health.report("ftjob-a", "no space");
  await clock.advance(2000);
  notices.update(observer);
  notices.update(null);
  notices.update({ ...observer });
  assertEquals(events.length, 2);
});

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { Bus } from "../../../shared/bus/bus.ts";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../../shared/testing/memory_bus.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { tryToLead } from "./leadership.ts";

const TTL_MS = 9000;
const bytes = (text: string) => new TextEncoder().encode(text);

function setUp() {
  const clock = createFakeClock(1_000_000);
  const broker = createMemoryBroker({ clock });
  const logged: string[] = [];
  const log = (level: string, message: string) => void logged.push(`${level} ${message}`);
  const lead = (holder: string, bus: Bus = broker.connect(holder), succeeds: readonly string[] = []) =>
    tryToLead({ bus, clock, holder, succeeds, ttlMs: TTL_MS, brokerName: "the broker b", log });
  return { clock, broker, logged, lead };
}

/** A bus whose leases are renewed only while `isThere()`. */
function flaky(bus: Bus, isThere: () => boolean): Bus {
  return {
    ...bus,
    async acquireLease(name, options) {
      const lease = await bus.acquireLease(name, options);
      if (lease === null) return null;
      const silence = () => Promise.reject(new LoraFleetError("timeout", "no answer"));
      return { ...lease, renew: () => isThere() ? lease.renew() : silence() };
    },
  };
}

Deno.test("one coordinator leads until it ends; the other is refused until then", async () => {
  const { clock, lead, logged } = setUp();
  const first = await lead("a");
  await clock.advance(10 * TTL_MS);
  assert(first.isHeld());
  const error = await assertRejects(() => lead("b"), LoraFleetError);
  assertEquals([error.code, error.param], ["conflict", "nats-url"]);
  assertMatch(error.message, /another coordinator leads at the broker b: stop it/);
  await first.close();
  const second = await lead("b");
  assert(second.term > first.term);
  await second.close();
  assertEquals(logged, []);
});

Deno.test("during a broker outage nothing is sent without a lease, and stores wait for it", async () => {
  const { clock, broker, lead, logged } = setUp();
  let isThere = true;
  const leading = await lead("a", flaky(broker.connect("a"), () => isThere));
  const [received, answered]: string[][] = [[], []];
  const other = broker.connect("other");
  other.subscribe("topic", ({ data }) => void received!.push(new TextDecoder().decode(data)));
  leading.bus.subscribe("ask", ({ respond }) => respond(bytes("yes")));
  await leading.bus.ensureStream("log", "entries");

  isThere = false;
  await clock.advance(2 * TTL_MS);
  assertEquals(leading.isHeld(), false);
  leading.bus.publish("topic", bytes("without"));
  const asked = assertRejects(() => other.request("ask", bytes(""), 500), LoraFleetError);
  const appended = leading.bus.append("entries", bytes("1"), 0).then(() => answered!.push("stored"));
  await clock.advance(1000);
  await asked;
  assertEquals([received, answered], [[], []]);

  isThere = true;
  await clock.advance(1000);
  await appended;
  leading.bus.publish("topic", bytes("again"));
  assertEquals(new TextDecoder().decode(await other.request("ask", bytes(""), 500)), "yes");
  assertEquals([received, answered], [["again"], ["stored"]]);
  assertEquals(logged, [
    "warn no answer; trying again",
    "info the lease is renewed: this coordinator leads",
  ]);
  await leading.close();
});

Deno.test("a coordinator that was silent during a takeover notices and stops acting", async () => {
  const { clock, broker, lead } = setUp();
  let isThere = true;
  const first = await lead("a", flaky(broker.connect("a"), () => isThere));
  isThere = false;
  await clock.advance(2 * TTL_MS);
  const second = await lead("b");
  const waiting = assertRejects(() => first.bus.ensureStream("log", "entries"), LoraFleetError, "another");
  isThere = true;
  await clock.advance(1000);
  assertMatch(await first.lost, /another coordinator leads at the broker b: .* longer than the 9 s/);
  await waiting;
  assertEquals([first.isHeld(), second.isHeld()], [false, true]);
  await first.close();
  assertEquals(second.isHeld(), true);
  await second.close();
});

Deno.test("a successor on the same data folder need not wait for the lease to expire", async () => {
  const { lead } = setUp();
  const first = await lead("a");
  const next = await lead("b", undefined, ["a"]);
  assert(next.isHeld() && next.term > first.term);
  await first.close();
  assert(next.isHeld());
  await next.close();
});

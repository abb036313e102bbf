import { assertEquals, assertRejects } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import { receivedSchema } from "../../shared/protocol/messages_coordinator.ts";
import { askUntilAnswered } from "./ask.ts";

const received = encodeMessage(receivedSchema, { type: "received" });

function worldOf(answer: (time: number) => Uint8Array | null) {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  let asked = 0;
  broker.connect("coordinator").subscribe("question", ({ respond }) => {
    const bytes = answer(++asked);
    if (bytes !== null) respond(bytes);
  });
  const bus = broker.connect("worker");
  const stop = new AbortController();
  const ask = () =>
    askUntilAnswered(
      { bus, clock, limits: LIMITS, subject: "question", data: new Uint8Array(), signal: stop.signal },
      receivedSchema,
    );
  return { clock, bus, stop, ask, asked: () => asked };
}

Deno.test("a request is repeated until its answer can be read", async () => {
  const world = worldOf((time) => time < 3 ? null : time === 3 ? new Uint8Array([1, 2]) : received);
  const answer = world.ask();
  await world.clock.advance(3000);
  assertEquals(await answer, { type: "received" });
  assertEquals(world.asked(), 4);
});

Deno.test("the signal ends the repetition, and so does a closed bus", async () => {
  const world = worldOf(() => null);
  const answer = world.ask();
  world.stop.abort(new LoraFleetError("aborted", "the attempt is over"));
  await assertRejects(() => answer, LoraFleetError, "the attempt is over");
  const other = worldOf(() => null);
  await other.bus.close();
  await assertRejects(() => other.ask(), LoraFleetError, "is closed");
});

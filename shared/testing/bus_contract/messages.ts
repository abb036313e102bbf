/** The contract of publish and subscribe. */
import { setImmediate } from "node:timers";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../errors.ts";
import { ACK_WAIT_MS, assertCode, bytes, type Clauses, textOf } from "./clause.ts";

export const MESSAGE_CLAUSES: Clauses = {
  "a publisher may reuse a message's memory": async ({ name, connect, until }) => {
    const [sender, receiver] = [await connect(), await connect()];
    const seen: number[][] = [];
    receiver.subscribe(`${name}.memory`, ({ data }) => seen.push([...data]));
    await receiver.flush();
    const data = new Uint8Array(3);
    for (const value of [1, 2, 3]) {
      sender.publish(`${name}.memory`, data.fill(value));
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
    await until(() => seen.length === 3, "the last message");
    assertEquals(seen, [[1, 1, 1], [2, 2, 2], [3, 3, 3]]);
  },

  "messages of one publisher arrive in order": async ({ name, connect, until }) => {
    const [sender, receiver] = [await connect(), await connect()];
    const seen: number[] = [];
    receiver.subscribe(`${name}.a`, ({ data }) => void seen.push(Number(textOf(data))));
    await receiver.flush();
    for (let index = 0; index < 300; index++) sender.publish(`${name}.a`, bytes(`${index}`));
    await until(() => seen.length === 300, "300 messages");
    assertEquals(seen, Array.from({ length: 300 }, (_, index) => index));
  },

  "wildcards select subjects": async ({ name, connect, until }) => {
    const bus = await connect();
    const seen: Record<string, string[]> = { star: [], rest: [], exact: [] };
    bus.subscribe(`${name}.*.x`, ({ subject }) => void seen["star"]!.push(subject));
    bus.subscribe(`${name}.>`, ({ subject }) => void seen["rest"]!.push(subject));
    bus.subscribe(`${name}.a.x`, ({ subject }) => void seen["exact"]!.push(subject));
    for (const tail of ["a.x", "b.x", "a.y", "a.x.z", "end"]) bus.publish(`${name}.${tail}`, bytes(""));
    await until(() => seen["rest"]!.length === 5, "five messages");
    assertEquals(seen["star"], [`${name}.a.x`, `${name}.b.x`]);
    assertEquals(seen["exact"], [`${name}.a.x`]);
  },

  "bytes arrive unchanged, an empty message included": async ({ name, connect, until }) => {
    const bus = await connect();
    const seen: Uint8Array[] = [];
    bus.subscribe(`${name}.a`, ({ data }) => void seen.push(data));
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    bus.publish(`${name}.a`, all);
    bus.publish(`${name}.a`, new Uint8Array());
    await until(() => seen.length === 2, "two messages");
    assertEquals(seen, [all, new Uint8Array()]);
    // Not a subclass: a `slice` has to be a copy.
    assertEquals(seen.map((data) => data.constructor), [Uint8Array, Uint8Array]);
  },

  "a closed subscription receives nothing more": async ({ name, connect, until }) => {
    const [sender, receiver] = [await connect(), await connect()];
    const seen: string[] = [];
    const subscription = receiver.subscribe(`${name}.a`, ({ data }) => void seen.push(textOf(data)));
    receiver.subscribe(`${name}.end`, () => void seen.push("end"));
    await receiver.flush();
    sender.publish(`${name}.a`, bytes("1"));
    await until(() => seen.length === 1, "the first message");
    subscription.close();
    await receiver.flush();
    sender.publish(`${name}.a`, bytes("2"));
    sender.publish(`${name}.end`, bytes(""));
    await until(() => seen.includes("end"), "the last message");
    assertEquals(seen, ["1", "end"]);
  },

  "an exception of a handler is reported, and the handler gets the next message": async (
    { name, connect, until },
  ) => {
    const reports: string[] = [];
    const bus = await connect((message, thrown) => void reports.push(`${message}: ${thrown}`));
    const seen: string[] = [];
    bus.subscribe(`${name}.a`, ({ data }) => {
      if (textOf(data) === "bad") throw new Error("cannot bear it");
      seen.push(textOf(data));
    });
    bus.publish(`${name}.a`, bytes("bad"));
    bus.publish(`${name}.a`, bytes("good"));
    await until(() => seen.length === 1, "the second message");
    assertEquals(reports.length, 1);
    assert(reports[0]!.includes(`${name}.a`) && reports[0]!.includes("cannot bear it"), reports[0]);
  },

  "a message above maxPayloadBytes is refused": async ({ name, connect, until }) => {
    const bus = await connect();
    const tooLarge = new Uint8Array(bus.maxPayloadBytes + 1);
    await bus.ensureQueue(name, [`${name}.work.>`], { ackWaitMs: ACK_WAIT_MS });
    const error = assertThrows(() => bus.publish(`${name}.a`, tooLarge), LoraFleetError);
    assertEquals(error.code, "invalid_request");
    assert(error.message.includes(`${bus.maxPayloadBytes}`), error.message);
    await assertCode("invalid_request", () => bus.request(`${name}.a`, tooLarge, 100));
    await assertCode("invalid_request", async () => await bus.enqueue(`${name}.work.1`, tooLarge, "id"));

    let size = 0;
    bus.subscribe(`${name}.a`, ({ data }) => void (size = data.length));
    bus.publish(`${name}.a`, new Uint8Array(bus.maxPayloadBytes));
    await until(() => size === bus.maxPayloadBytes, "the largest message");
  },

  "closing flushes what was published and ends everything else": async ({ name, connect, broker, until }) => {
    const [leaving, staying] = [await connect(), await connect()];
    const seen: string[] = [];
    let heardAfter = 0;
    staying.subscribe(`${name}.a`, ({ data }) => void seen.push(textOf(data)));
    leaving.subscribe(`${name}.b`, () => void heardAfter++);
    await Promise.all([staying.flush(), leaving.flush()]);
    const asked = assertCode("aborted", () => leaving.request(`${name}.a`, bytes("?"), 60_000));
    leaving.publish(`${name}.a`, bytes("last words"));
    await leaving.close();
    await leaving.close();
    await asked;
    await until(() => seen.length === 2, "what was sent before");
    assertEquals(seen, ["?", "last words"]);
    staying.publish(`${name}.b`, bytes(""));
    await staying.flush();
    await broker.pass(20);
    assertEquals(heardAfter, 0);
    assertEquals(
      assertThrows(() => leaving.publish(`${name}.a`, bytes("")), LoraFleetError).code,
      "aborted",
    );
    assertEquals(assertThrows(() => leaving.subscribe(name, () => {}), LoraFleetError).code, "aborted");
    await assertCode("aborted", () => leaving.request(`${name}.a`, bytes(""), 100));
    await assertCode("aborted", () => leaving.ensureStream(name, `${name}.log`));
  },
};

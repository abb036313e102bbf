/** The contract of request and respond. */
import { assertEquals } from "@std/assert";
import { assertCode, bytes, type Clauses, textOf } from "./clause.ts";

export const REQUEST_CLAUSES: Clauses = {
  "a responder may answer later": async ({ name, connect, broker }) => {
    const [asker, responder] = [await connect(), await connect()];
    responder.subscribe(`${name}.twice`, ({ data, respond }) => {
      void responder.flush().then(() => respond(bytes(`${textOf(data)}${textOf(data)}`)));
    });
    await responder.flush();
    const answers = await Promise.all(
      ["a", "b", "c"].map((text) => broker.during(100, asker.request(`${name}.twice`, bytes(text), 5000))),
    );
    assertEquals(answers.map(textOf), ["aa", "bb", "cc"]);
  },

  "a request reaches a responder that subscribes before the timeout": async ({ name, connect, broker }) => {
    const [asker, responder] = [await connect(), await connect()];
    const asked = asker.request(`${name}.late`, bytes("?"), 10_000);
    await broker.pass(120);
    responder.subscribe(`${name}.late`, ({ respond }) => respond(bytes("here")));
    assertEquals(textOf(await broker.during(1000, asked)), "here");
  },

  "a request without a subscriber or without an answer times out": async ({ name, connect, broker }) => {
    const [asker, silent] = [await connect(), await connect()];
    await assertCode("timeout", () => broker.during(150, asker.request(`${name}.none`, bytes(""), 120)));
    silent.subscribe(`${name}.silent`, () => {});
    await silent.flush();
    await assertCode("timeout", () => broker.during(150, asker.request(`${name}.silent`, bytes(""), 120)));
  },

  "answering a message that is no request has no effect": async ({ name, connect, until }) => {
    const bus = await connect((_message, thrown) => {
      throw thrown;
    });
    let heard = 0;
    bus.subscribe(`${name}.a`, ({ respond }) => {
      respond(bytes("unrequested"));
      heard++;
    });
    bus.publish(`${name}.a`, bytes(""));
    await until(() => heard === 1, "the message");
  },
};

import { assertEquals } from "@std/assert";
import { pcg32 } from "../../shared/prng.ts";
import { createNatsSplitter, payloadOf } from "./nats_messages.ts";

const encoder = new TextEncoder();
const TEXT = 'INFO {"a":1}\r\nPING\r\nPUB lf.x 5\r\nab\r\nc\r\n' +
  "PUB lf.y _INBOX.1 0\r\n\r\nMSG lf.z 7 3\r\nxyz\r\nHMSG lf.h 7 12 15\r\nNATS/1.0\r\n\r\nend\r\nSUB a 1\r\n";

Deno.test("whatever pieces it comes in, a connection is cut into the same messages", () => {
  const bytes = encoder.encode(TEXT);
  const random = pcg32(1);
  for (let trial = 0; trial < 200; trial++) {
    const split = createNatsSplitter();
    const messages = [];
    for (let from = 0; from < bytes.byteLength;) {
      const to = Math.min(bytes.byteLength, from + 1 + random.below(12));
      messages.push(...split(bytes.subarray(from, to)));
      from = to;
    }
    const decoder = new TextDecoder();
    assertEquals(messages.map((message) => decoder.decode(message.bytes)).join(""), TEXT);
    assertEquals(
      messages.filter(({ subject }) => subject !== null).map((
        message,
      ) => [message.subject, decoder.decode(payloadOf(message))]),
      [["lf.x", "ab\r\nc"], ["lf.y", ""], ["lf.z", "xyz"], ["lf.h", "end"]],
    );
  }
});

Deno.test("a message that is not complete yet is kept back", () => {
  const split = createNatsSplitter();
  assertEquals(split(encoder.encode("PUB a 4\r\nab")), []);
  assertEquals(split(encoder.encode("cd\r")), []);
  assertEquals(split(encoder.encode("\n")).length, 1);
});

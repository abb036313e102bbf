/** The bytes of a NATS connection, cut into whole protocol messages, for a proxy that changes some of them. */

/** One protocol message with its payload, as it came. */
export interface NatsMessage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Of a message that carries a payload; null for everything else (PING, SUB, INFO, …). */
  readonly subject: string | null;
  /** Where the payload begins in `bytes`, headers not included; it ends two bytes before their end. */
  readonly payloadAt: number;
}

/** The server sends one line of a few kilobytes at the start, and no longer one ever. */
const MAX_LINE_BYTES = 1 << 20;
const LINE_END = [13, 10] as const;

/** The returned function takes the next bytes and gives the messages that they complete. */
export function createNatsSplitter(): (bytes: Uint8Array) => NatsMessage[] {
  let rest = new Uint8Array(0);
  return (bytes) => {
    const all = new Uint8Array(rest.byteLength + bytes.byteLength);
    all.set(rest);
    all.set(bytes, rest.byteLength);
    const messages: NatsMessage[] = [];
    let from = 0;
    for (;;) {
      const message = messageAt(all, from);
      if (message === null) break;
      messages.push(message);
      from += message.bytes.byteLength;
    }
    rest = all.slice(from);
    return messages;
  };
}

/** Null where it is not complete. */
function messageAt(all: Uint8Array, from: number): NatsMessage | null {
  const lineEnd = all.indexOf(LINE_END[1], from);
  if (lineEnd === -1) {
    if (all.byteLength - from > MAX_LINE_BYTES) {
      throw new Error("this is no NATS connection: a line has no end");
    }
    return null;
  }
  const line = new TextDecoder().decode(all.subarray(from, lineEnd - 1));
  const [verb = "", ...words] = line.split(/\s+/);
  const kind = verb.toUpperCase();
  if (!["PUB", "HPUB", "MSG", "HMSG"].includes(kind)) {
    return { bytes: all.slice(from, lineEnd + 1), subject: null, payloadAt: 0 };
  }
  const [headerSize, size] = kind.startsWith("H")
    ? [Number(words.at(-2)), Number(words.at(-1))]
    : [0, Number(words.at(-1))];
  const end = lineEnd + 1 + size + LINE_END.length;
  if (end > all.byteLength) return null;
  return {
    bytes: all.slice(from, end),
    subject: words[0]!,
    payloadAt: lineEnd + 1 - from + headerSize,
  };
}

export function payloadOf({ bytes, payloadAt }: NatsMessage): Uint8Array<ArrayBuffer> {
  return bytes.subarray(payloadAt, bytes.byteLength - LINE_END.length);
}

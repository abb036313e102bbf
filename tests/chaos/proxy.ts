/**
 * What lies between one worker and the broker: a TCP proxy that can be cut, made silent, and told to double or spoil what the worker
 * sends. It understands NATS, so that a spoilt chunk is one that arrives whole and wrong, as nothing else can make it.
 */
import type { Prng } from "../../shared/prng.ts";
import { createNatsSplitter, type NatsMessage, payloadOf } from "./nats_messages.ts";

/** Shares of what the worker publishes, 0 to 1. */
export interface Weather {
  /** Gradient chunks and receipts of which a byte is changed. */
  readonly corrupt: number;
  /** Messages of any kind that are sent twice. */
  readonly duplicate: number;
}

export interface ProxyOptions {
  /** Of the broker. */
  readonly port: number;
  readonly random: Prng;
  /** Told of each message that the worker publishes, before it is passed on. */
  readonly onPublished: (subject: string, payload: Uint8Array) => void;
  /** Told of each message that the worker receives. */
  readonly onDelivered: (subject: string, payload: Uint8Array) => void;
}

export interface Proxy {
  readonly port: number;
  weather: Weather;
  readonly counts: { readonly corrupted: number; readonly duplicated: number };
  /** Ends all connections, and refuses new ones for so long. */
  cut(milliseconds: number): void;
  /** Lets nothing through in either direction for so long; connections stay. */
  silence(milliseconds: number): void;
  close(): void;
}

export const FAIR: Weather = { corrupt: 0, duplicate: 0 };
const GRADIENTS = /^lf\.[^.]+\.gradients\./;

export function startProxy({ port, random, onPublished, onDelivered }: ProxyOptions): Proxy {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.Conn>();
  const counts = { corrupted: 0, duplicated: 0 };
  let refusedUntil = 0;
  let silentUntil = 0;

  /** The bytes in whose shape the message is passed on. */
  function spoiled(message: NatsMessage): readonly Uint8Array<ArrayBuffer>[] {
    if (message.subject === null) return [message.bytes];
    const payload = payloadOf(message);
    onPublished(message.subject, payload);
    if (
      GRADIENTS.test(message.subject) && payload.byteLength > 0 && random.uniform() < proxy.weather.corrupt
    ) {
      payload[random.below(payload.byteLength)]! ^= 1 << random.below(8);
      counts.corrupted++;
    }
    if (!message.subject.startsWith("lf.") || random.uniform() >= proxy.weather.duplicate) {
      return [message.bytes];
    }
    counts.duplicated++;
    return [message.bytes, message.bytes];
  }

  function delivered(message: NatsMessage): readonly Uint8Array<ArrayBuffer>[] {
    if (message.subject !== null) onDelivered(message.subject, payloadOf(message));
    return [message.bytes];
  }

  async function pump(
    from: Deno.Conn,
    to: Deno.Conn,
    pass: (message: NatsMessage) => readonly Uint8Array<ArrayBuffer>[],
  ): Promise<void> {
    const split = createNatsSplitter();
    for await (const bytes of from.readable) {
      while (silentUntil > Date.now()) await new Promise((go) => setTimeout(go, silentUntil - Date.now()));
      for (const message of split(bytes)) for (const part of pass(message)) await writeAll(to, part);
    }
  }

  async function serve(client: Deno.Conn): Promise<void> {
    open.add(client);
    let server: Deno.Conn | null = null;
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port });
      open.add(server);
      await Promise.race([pump(client, server, spoiled), pump(server, client, delivered)]);
    } catch {
      // Whichever side has ended: the other one sees it.
    } finally {
      for (const connection of [client, server]) if (connection !== null) end(connection);
    }
  }

  function end(connection: Deno.Conn): void {
    open.delete(connection);
    try {
      connection.close();
    } catch {
      // It is closed already.
    }
  }

  (async () => {
    for await (const client of listener) {
      if (refusedUntil > Date.now()) client.close();
      else void serve(client);
    }
  })().catch(() => {});

  const proxy: Proxy = {
    port: listener.addr.port,
    weather: FAIR,
    counts,
    cut(milliseconds) {
      refusedUntil = Date.now() + milliseconds;
      for (const connection of open) end(connection);
    },
    silence: (milliseconds) => void (silentUntil = Date.now() + milliseconds),
    close() {
      listener.close();
      for (const connection of open) end(connection);
    },
  };
  return proxy;
}

async function writeAll(to: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let from = 0; from < bytes.byteLength;) from += await to.write(bytes.subarray(from));
}

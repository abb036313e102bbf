/**
 * A TCP proxy between one worker and the broker that cuts and silences the connection, and doubles or spoils what the worker
 * sends. It parses NATS, so that a spoilt chunk arrives whole and wrong.
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
  /** The broker's. */
  readonly port: number;
  readonly random: Prng;
  /** Called for each message that the worker publishes, before it is passed on. */
  readonly onPublished: (subject: string, payload: Uint8Array) => void;
  /** Called for each message that the worker receives. */
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

export function startProxy(options: ProxyOptions): Proxy {
  return new NatsProxy(options);
}

type Pass = (message: NatsMessage) => readonly Uint8Array<ArrayBuffer>[];

class NatsProxy implements Proxy {
  readonly port: number;
  weather = FAIR;
  readonly counts = { corrupted: 0, duplicated: 0 };
  readonly #options: ProxyOptions;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.Conn>();
  #refusedUntil = 0;
  #silentUntil = 0;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.port = this.#listener.addr.port;
    void this.#accept().catch(() => {});
  }

  cut(milliseconds: number): void {
    this.#refusedUntil = Date.now() + milliseconds;
    for (const connection of this.#open) this.#end(connection);
  }

  silence(milliseconds: number): void {
    this.#silentUntil = Date.now() + milliseconds;
  }

  close(): void {
    this.#listener.close();
    for (const connection of this.#open) this.#end(connection);
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      if (this.#refusedUntil > Date.now()) client.close();
      else void this.#serve(client);
    }
  }

  async #serve(client: Deno.Conn): Promise<void> {
    this.#open.add(client);
    let server: Deno.Conn | null = null;
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port: this.#options.port });
      this.#open.add(server);
      await Promise.race([
        this.#pump(client, server, (message) => this.#published(message)),
        this.#pump(server, client, (message) => this.#delivered(message)),
      ]);
    } catch {
      // One side has ended; the finally ends the other.
    } finally {
      for (const connection of [client, server]) if (connection !== null) this.#end(connection);
    }
  }

  async #pump(from: Deno.Conn, to: Deno.Conn, pass: Pass): Promise<void> {
    const split = createNatsSplitter();
    for await (const bytes of from.readable) {
      while (this.#silentUntil > Date.now()) {
        await new Promise((go) => setTimeout(go, this.#silentUntil - Date.now()));
      }
      for (const message of split(bytes)) for (const part of pass(message)) await writeAll(to, part);
    }
  }

  /** A worker's message, spoilt and doubled as the weather has it. */
  #published(message: NatsMessage): ReturnType<Pass> {
    if (message.subject === null) return [message.bytes];
    const { random, onPublished } = this.#options;
    const payload = payloadOf(message);
    onPublished(message.subject, payload);
    const isGradient = GRADIENTS.test(message.subject) && payload.byteLength > 0;
    if (isGradient && random.uniform() < this.weather.corrupt) {
      payload[random.below(payload.byteLength)]! ^= 1 << random.below(8);
      this.counts.corrupted++;
    }
    if (!message.subject.startsWith("lf.") || random.uniform() >= this.weather.duplicate) {
      return [message.bytes];
    }
    this.counts.duplicated++;
    return [message.bytes, message.bytes];
  }

  #delivered(message: NatsMessage): ReturnType<Pass> {
    if (message.subject !== null) this.#options.onDelivered(message.subject, payloadOf(message));
    return [message.bytes];
  }

  #end(connection: Deno.Conn): void {
    this.#open.delete(connection);
    try {
      connection.close();
    } catch {
      // It is closed already.
    }
  }
}

async function writeAll(to: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let from = 0; from < bytes.byteLength;) from += await to.write(bytes.subarray(from));
}

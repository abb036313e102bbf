/** The address and credentials of a broker. */
import type { NatsIdentity } from "../../shared/bus/nats_keys.ts";

/** How the coordinator reaches its broker. */
export interface Broker {
  readonly url: string;
  readonly user: string | null;
  readonly password: string | null;
  readonly credsPath: string | null;
  /** The coordinator in the broker's accounts; null if the broker does not know workers by tokens. */
  readonly identities: { readonly fleet: NatsIdentity; readonly streams: NatsIdentity } | null;
  /** As for any connection (nats_connection.ts). */
  readonly tlsCa?: string;
  readonly tlsServerName?: string;
  /** As a store has it (nats_store.ts). */
  readonly domain?: string;
}

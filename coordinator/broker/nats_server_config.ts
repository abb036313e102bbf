/** The configuration of the coordinator's own nats-server. */
import type { BrokerAccounts } from "../../shared/bus/nats_accounts.ts";
import type { TlsFiles } from "../config/tls.ts";

export interface NatsServerConfig {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** Holds the configuration, streams, changed accounts and the pid. */
  readonly folder: string;
  readonly accounts: BrokerAccounts;
  /** Null: without TLS. */
  readonly tls: Pick<TlsFiles, "certPath" | "keyPath"> | null;
  /** Whether it listens for web sockets too, on any free port of this machine alone and without TLS; default: no. */
  readonly takesWebSockets?: boolean;
  /** From `nats-server --version`: [2, 9, 10]. */
  readonly version: readonly number[];
}

/** Fits gradient chunks of 512 KiB to 4 MiB and the largest micro-batch. */
export const MAX_PAYLOAD_BYTES = 8 * 2 ** 20;

export const pidPathIn = (folder: string): string => `${folder}/nats-server.pid`;

/** Reads the version that the binary prints. Null if it prints none. */
export function parseNatsVersion(output: string): readonly number[] | null {
  const match = /v?(\d+)\.(\d+)\.(\d+)/.exec(output);
  return match === null ? null : match.slice(1).map(Number);
}

/** The text of a configuration file. */
export function natsServerConfigText(config: NatsServerConfig): string {
  const [major = 0, minor = 0] = config.version;
  // JetStream syncs to disk every two minutes by default; servers before 2.10 refuse the option.
  const knowsSyncInterval = major > 2 || (major === 2 && minor >= 10);
  const quoted = (text: string) => JSON.stringify(text);
  const { folder, accounts, tls, takesWebSockets = false } = config;
  const tokens = [...accounts.tokens].map(([publicKey, token]) => `  ${publicKey}: ${token}`);
  return `# Written by lorafleet's coordinator at every start.
server_name: lorafleet
host: ${quoted(config.host)}
port: ${config.port === 0 ? -1 : config.port}
pid_file: ${quoted(pidPathIn(folder))}
max_payload: ${MAX_PAYLOAD_BYTES}
# A subscriber may be behind by several gradients before it is cut off.
max_pending: ${256 * 2 ** 20}
jetstream {
  store_dir: ${quoted(`${folder}/jetstream`)}${knowsSyncInterval ? "\n  sync_interval: always" : ""}
}
authorization { timeout: 5 }
operator: ${accounts.operatorToken}
system_account: ${accounts.systemAccount}
resolver: { type: full, dir: ${quoted(`${folder}/accounts`)} }
resolver_preload: {
${tokens.join("\n")}
}
${
    tls === null ? "" : `tls {
  cert_file: ${quoted(tls.certPath)}
  key_file: ${quoted(tls.keyPath)}
  timeout: 5
}
`
  }${takesWebSockets ? 'websocket { host: "127.0.0.1", port: -1, no_tls: true }\n' : ""}`;
}

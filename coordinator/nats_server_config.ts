/** The configuration of the coordinator's own nats-server: who may connect, what a worker may say, where streams lie. */

export interface NatsCredentials {
  readonly user: string;
  readonly password: string;
}

export interface NatsServerConfig {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly storeFolder: string;
  readonly pidPath: string;
  readonly coordinator: NatsCredentials;
  readonly worker: NatsCredentials;
  /** As `nats-server --version` says: [2, 9, 10]. */
  readonly version: readonly number[];
}

/** Gradient chunks are 512 KiB to 4 MiB; the largest micro-batch has to fit, too. */
export const MAX_PAYLOAD_BYTES = 8 * 2 ** 20;

/**
 * What a worker may do: speak and listen on lorafleet's subjects, take work from the queues that the coordinator made,
 * ask and answer. It may not speak in the coordinator's name, nor write into the bucket of its lease, nor make, change,
 * purge or delete a stream, nor make a consumer: that one could deliver to any subject, the lease's and the
 * coordinator's included.
 */
export const WORKER_PERMISSIONS = {
  publish: {
    allow: [
      "lf.>",
      "_INBOX.>",
      "$JS.ACK.>",
      "$JS.API.INFO",
      "$JS.API.STREAM.INFO.*",
      "$JS.API.STREAM.NAMES",
      "$JS.API.CONSUMER.INFO.*.*",
      "$JS.API.CONSUMER.MSG.NEXT.*.*",
    ],
    deny: ["lf.fleet", "lf.*.state", "lf.*.work.>", "lf.*.commits"],
  },
  subscribe: { allow: ["lf.>", "_INBOX.>"], deny: [] },
} as const;

/** Reads the version that the binary prints. Null where it prints none. */
export function parseNatsVersion(output: string): readonly number[] | null {
  const match = /v?(\d+)\.(\d+)\.(\d+)/.exec(output);
  return match === null ? null : match.slice(1).map(Number);
}

/** The text of a configuration file. */
export function natsServerConfigText(config: NatsServerConfig): string {
  const [major = 0, minor = 0] = config.version;
  // JetStream syncs to disk every two minutes unless told; servers before 2.10 refuse the option.
  const knowsSyncInterval = major > 2 || (major === 2 && minor >= 10);
  const quoted = (text: string) => JSON.stringify(text);
  const list = (subjects: readonly string[]) => `[${subjects.map(quoted).join(", ")}]`;
  const rules = ({ allow, deny }: { allow: readonly string[]; deny: readonly string[] }) =>
    `{ allow: ${list(allow)}, deny: ${list(deny)} }`;
  const user = ({ user: name, password }: NatsCredentials) =>
    `user: ${quoted(name)}, password: ${quoted(password)}`;
  return `# Written by lorafleet's coordinator at every start.
server_name: lorafleet
host: ${quoted(config.host)}
port: ${config.port === 0 ? -1 : config.port}
pid_file: ${quoted(config.pidPath)}
max_payload: ${MAX_PAYLOAD_BYTES}
# A subscriber may be behind by several gradients before it is cut off.
max_pending: ${256 * 2 ** 20}
jetstream {
  store_dir: ${quoted(config.storeFolder)}${knowsSyncInterval ? "\n  sync_interval: always" : ""}
}
authorization {
  timeout: 5
  users: [
    { ${user(config.coordinator)} }
    { ${user(config.worker)}, permissions: {
        publish: ${rules(WORKER_PERMISSIONS.publish)}
        subscribe: ${rules(WORKER_PERMISSIONS.subscribe)}
    } }
  ]
}
`;
}

/** Workers' identities at brokers of accounts: as coordinator/broker/nats_accounts_test.ts tries them, but at every server. */
import { assertEquals, assertRejects } from "@std/assert";
import { issueCredential } from "../../coordinator/access/worker_credentials.ts";
import { readForeignAccounts } from "../../coordinator/broker/foreign_accounts.ts";
import { parseConfig } from "../../coordinator/config/config.ts";
import type { AccountSigner } from "../../shared/bus/nats_accounts.ts";
import { type NatsConnectionOptions, openConnection } from "../../shared/bus/nats_connection.ts";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import * as subjects from "../../shared/protocol/subjects.ts";

interface ForeignBroker {
  /** What the coordinator is started with. */
  readonly environment: Readonly<Record<string, string>>;
  /** Of every server that workers may connect to. */
  readonly urls: readonly string[];
}

type WorkerOptions = Omit<NatsConnectionOptions, "servers">;

interface Tried {
  /** A worker that was revoked. */
  readonly revoked: WorkerOptions;
  /** A worker that was not. */
  readonly fresh: () => WorkerOptions;
}

/**
 * At every server: stolen credentials, forged ones and none are refused, a worker says what it may and no more, and one that is
 * revoked loses its connections.
 */
export async function assertIdentities({ environment: env, urls }: ForeignBroker): Promise<Tried> {
  const tlsCa = env["NATS_CA"] === undefined ? null : await Deno.readTextFile(env["NATS_CA"]);
  const trust = tlsCa === null ? {} : { tlsCa };
  const { signer, revoke } = await readForeignAccounts({
    settings: parseConfig([], (name) => env[name])!.natsAccount!,
    credsPath: env["NATS_CREDS"]!,
    connection: { servers: env["NATS_URL"]!, ...trust },
    clock: systemClock,
  });
  const worker = (keys = createNatsKeys("user"), by: AccountSigner = signer) => {
    const { token, worker: name } = issueCredential(by, keys.publicKey, systemClock.now(), 3_600_000);
    return {
      name,
      ...trust,
      identity: { keys, token: () => token },
      inboxPrefix: subjects.inboxPrefix(name),
    };
  };
  const victim = worker();
  const thief = createNatsKeys("user");
  const intruders: readonly WorkerOptions[] = [
    { ...victim, identity: { keys: thief, token: victim.identity.token } },
    worker(thief, { keys: createNatsKeys("account"), account: null }),
    { name: "nobody", ...trust },
  ];
  const cut: Promise<void>[] = [];
  for (const servers of urls) {
    for (const intruder of intruders) await assertRefused({ ...intruder, servers });
    if (tlsCa !== null) {
      await assertRejects(() => openConnection({ name: "x", servers }), LoraFleetError, "ertificate");
    }
    cut.push((await assertRights({ ...victim, servers })).cut);
  }
  const revokedAt = Math.ceil(systemClock.now() / 1000) + 1;
  await revoke!([{ publicKey: victim.identity.keys.publicKey, revokedAt }]);
  await Promise.all(cut);
  for (const servers of urls) {
    await assertRefused({ ...victim, servers });
    await (await openConnection({ ...worker(), servers })).close();
  }
  return { revoked: victim, fresh: () => worker() };
}

export async function assertRefused(options: NatsConnectionOptions): Promise<void> {
  const error = await assertRejects(() => openConnection(options), LoraFleetError);
  assertEquals(error.code, "unauthorized", error.message);
}

/** Tries what a worker may not say. `cut` resolves once the broker ends its connection. */
async function assertRights(options: NatsConnectionOptions): Promise<{ readonly cut: Promise<void> }> {
  const connection = await openConnection(options);
  const refused: string[] = [];
  const cut = (async () => {
    for await (const status of connection.status()) {
      if (status.type === "disconnect") return await connection.close();
      if (status.type === "error") refused.push(status.error.message);
    }
  })();
  connection.publish(subjects.heartbeatSubject(options.name), "x");
  const forbidden = [
    subjects.heartbeatSubject("w-other"),
    subjects.FLEET_SUBJECT,
    "$JS.API.STREAM.LIST",
    "$JS.hub.API.STREAM.LIST",
  ];
  for (const subject of forbidden) connection.publish(subject, "x");
  await connection.flush();
  await connection.flush();
  assertEquals(refused.length, forbidden.length, refused.join());
  return { cut };
}

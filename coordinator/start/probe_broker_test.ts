/** Brokers of accounts that the coordinator does not run, right and wrong ones, on every nats-server that is here. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  accountKeys,
  type AccountSigner,
  type BrokerAccounts,
  brokerAccounts,
  masterOf,
} from "../../shared/bus/nats_accounts.ts";
import { openConnection } from "../../shared/bus/nats_connection.ts";
import { credentialsText } from "../../shared/bus/nats_credentials.ts";
import { readClaims, signClaims } from "../../shared/bus/nats_jwt.ts";
import { createNatsKeys, type NatsKeys } from "../../shared/bus/nats_keys.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { inboxPrefix } from "../../shared/protocol/subjects.ts";
import { issueCredential } from "../access/worker_credentials.ts";
import type { Broker } from "../broker/broker.ts";
import { type ForeignAccounts, readForeignAccounts } from "../broker/foreign_accounts.ts";
import { natsBinaries } from "../broker/nats_binaries_fixture.ts";
import { startNatsServer } from "../broker/nats_server.ts";
import type { NatsAccountSettings } from "../config/nats_settings.ts";
import { assertUsable, clockWarning } from "./probe_broker.ts";

const textOf = (keys: NatsKeys) => new TextDecoder().decode(keys.seed);
const seeds = {
  operator: textOf(createNatsKeys("operator")),
  fleet: textOf(createNatsKeys("account")),
  streams: textOf(createNatsKeys("account")),
  system: textOf(createNatsKeys("account")),
};
const keys = accountKeys(seeds);
const signing = createNatsKeys("account");
const now = Math.floor(systemClock.now() / 1000) - 10;

/** The accounts of a broker with one of them changed. */
function changed(
  account: "fleet" | "streams",
  change: (nats: Record<string, unknown>) => void,
): BrokerAccounts {
  const all = brokerAccounts(keys, [], now);
  const { publicKey } = keys[account];
  const { nats, ...claims } = readClaims(all.tokens.get(publicKey)!);
  change(nats);
  return {
    ...all,
    tokens: new Map([...all.tokens, [publicKey, signClaims(keys.operator, { ...claims, nats })]]),
  };
}

/** An account without streams. */
const plain = createNatsKeys("account");

function right(): BrokerAccounts {
  const all = changed("fleet", (nats) => nats["signing_keys"] = [signing.publicKey]);
  const { nats, ...claims } = readClaims(all.tokens.get(keys.system.publicKey)!);
  const token = signClaims(keys.operator, { ...claims, subject: plain.publicKey, nats });
  return { ...all, tokens: new Map([...all.tokens, [plain.publicKey, token]]) };
}

interface World {
  readonly folder: string;
  readonly url: string;
  /** Reads the settings, with files that are right unless given, and tries the broker. */
  open(change?: Partial<NatsAccountSettings> & { readonly streamsCreds?: string }): Promise<ForeignAccounts>;
  readonly logged: string[];
}

async function withBroker(
  accounts: BrokerAccounts,
  body: (world: World) => Promise<void>,
  binary: string,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const server = await startNatsServer({
    ...{ binary, folder, host: "127.0.0.1", port: 0, tls: null, clock: systemClock },
    accounts: () => accounts,
  });
  const write = async (name: string, text: string) => {
    await Deno.writeTextFile(`${folder}/${name}`, text);
    return `${folder}/${name}`;
  };
  const creds = (account: NatsKeys | AccountSigner) =>
    credentialsText(masterOf(account, createNatsKeys("user"), now));
  const logged: string[] = [];
  try {
    await body({
      ...{ folder, url: server.url, logged },
      async open({ streamsCreds = creds(keys.streams), ...change } = {}) {
        const settings: NatsAccountSettings = {
          keyPath: await write("fleet.nk", seeds.fleet),
          account: null,
          revoking: {
            operatorKeyPath: await write("operator.nk", `${seeds.operator}\n`),
            systemCredsPath: await write("system.creds", creds(keys.system)),
          },
          ...change,
        };
        const accounts = await readForeignAccounts({
          ...{ settings, credsPath: await write("streams.creds", streamsCreds), clock: systemClock },
          connection: { servers: server.url },
        });
        const broker: Broker = {
          ...{
            url: server.url,
            user: null,
            password: null,
            credsPath: null,
            identities: accounts.identities,
          },
        };
        const log = (level: string, message: string) => void logged.push(`${level} ${message}`);
        await assertUsable(broker, accounts, { clock: systemClock, log });
        return accounts;
      },
    });
  } finally {
    await server.stop();
    await Deno.remove(folder, { recursive: true });
  }
}

async function onEach(accounts: () => BrokerAccounts, body: (world: World) => Promise<void>): Promise<void> {
  for (const { binary, version } of natsBinaries()) {
    await withBroker(accounts(), body, binary).catch((thrown) => {
      throw new Error(`with nats-server ${version}: ${messageOf(thrown)}`, { cause: thrown });
    });
  }
}

async function assertRefused(work: () => Promise<unknown>, param: string, message: RegExp): Promise<void> {
  const error = await assertRejects(work, LoraFleetError);
  assertMatch(error.message, message);
  assertEquals([error.code, error.param], ["usage", param]);
  assert(!Object.values(seeds).some((seed) => error.message.includes(seed)), "a seed is in the message");
}

Deno.test("with the account's own key and with a signing key a worker gets work, and a revoked one is cut off", () =>
  onEach(right, async ({ folder, url, open, logged }) => {
    await Deno.writeTextFile(`${folder}/signing.nk`, textOf(signing));
    const byKey = await open();
    const bySigningKey = await open({ keyPath: `${folder}/signing.nk`, account: keys.fleet.publicKey });
    assertEquals([byKey.fleetAccount, bySigningKey.fleetAccount], [
      keys.fleet.publicKey,
      keys.fleet.publicKey,
    ]);
    assertEquals(logged, []);
    for (const { signer, revoke } of [byKey, bySigningKey]) {
      const user = createNatsKeys("user");
      const { token, worker } = issueCredential(signer, user.publicKey, systemClock.now(), 60_000);
      const options = {
        ...{ servers: url, name: worker, inboxPrefix: inboxPrefix(worker) },
        identity: { keys: user, token: () => token },
      };
      const connection = await openConnection(options);
      const cut = (async () => {
        for await (const { type } of connection.status()) if (type === "disconnect") return;
      })();
      await revoke!([{ publicKey: user.publicKey, revokedAt: Math.ceil(systemClock.now() / 1000) + 1 }]);
      await cut;
      await connection.close();
      assertEquals((await assertRejects(() => openConnection(options), LoraFleetError)).code, "unauthorized");
    }
  }));

Deno.test("a wrong key, credentials that have expired or are of the wrong account are named with what would be right", () =>
  onEach(right, async ({ folder, open }) => {
    const file = async (text: string) => {
      await Deno.writeTextFile(`${folder}/given`, text);
      return `${folder}/given`;
    };
    const key = "nats-account-key";
    const other = await file(textOf(createNatsKeys("account")));
    await assertRefused(
      () => open({ keyPath: other }),
      key,
      /refuses a worker's token: --nats-account-key is no key of the account A/,
    );
    await assertRefused(
      () => open({ keyPath: `${folder}/none` }),
      key,
      /--nats-account-key ".*none" cannot be read/,
    );
    const operator = await file(seeds.operator);
    await assertRefused(
      () => open({ keyPath: operator }),
      key,
      /holds the seed of an operator; the seed of an account/,
    );
    const noSeed = await file("secret");
    await assertRefused(() => open({ keyPath: noSeed }), key, /holds no seed; the seed of an account/);
    // A signing key without its account.
    const signingKey = await file(textOf(signing));
    await assertRefused(
      () => open({ keyPath: signingKey }),
      key,
      /With a signing key, --nats-account names its account/,
    );

    const creds = "nats-creds";
    const user = createNatsKeys("user");
    const old = signClaims(keys.streams, {
      ...{ subject: user.publicKey, name: "old", issuedAt: 1, expiresAt: 1_700_000_000 },
      nats: { type: "user", version: 2 },
    });
    const expired = credentialsText({ keys: user, token: () => old });
    await assertRefused(
      () => open({ streamsCreds: expired }),
      creds,
      /has expired on 2023-11-14T.*: issue new credentials/,
    );
    const mine = credentialsText(masterOf(keys.fleet, user, now));
    await assertRefused(
      () => open({ streamsCreds: mine }),
      creds,
      /a user of the account of --nats-account-key: workers could delete/,
    );
    const foreign = credentialsText(masterOf(createNatsKeys("account"), user, now));
    await assertRefused(
      () => open({ streamsCreds: foreign }),
      creds,
      /refuses the user of --nats-creds: its account is not known/,
    );
    const withoutStreams = credentialsText(masterOf(plain, user, now));
    const error = await assertRejects(() => open({ streamsCreds: withoutStreams }), LoraFleetError);
    assertMatch(
      error.message,
      /gives us no JetStream, which the fleet needs: .*give the account .* JetStream limits/,
    );
    await assertRefused(() => open({ streamsCreds: "x" }), creds, /--nats-creds ".*" holds no credentials/);
  }));

Deno.test("accounts that do not fit together are refused before a worker joins", async () => {
  const withoutImports = () => changed("fleet", (nats) => delete nats["imports"]);
  await onEach(
    withoutImports,
    ({ open }) =>
      assertRefused(
        () => open(),
        "nats-account-key",
        /does not get work from the account of --nats-creds: .* to import, the services/,
      ),
  );
  const limits = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const withStreams = () =>
    changed("fleet", (nats) => nats["limits"] = { ...nats["limits"] as object, ...limits });
  await onEach(
    withStreams,
    ({ open }) => assertRefused(() => open(), "nats-account-key", /has JetStream: a worker could delete/),
  );
});

Deno.test("clocks that differ by half a minute or more are warned of, with what follows", () => {
  assertEquals([0, 29_000, -29_000].map(clockWarning), [null, null, null]);
  assertMatch(
    clockWarning(3_600_000)!,
    /clock is 60 min behind the broker's: workers' tokens end 60 min earlier/,
  );
  assertMatch(clockWarning(-45_000)!, /clock is 45 s ahead of the broker's: workers' tokens end 45 s later/);
});

Deno.test("a coordinator whose clock is an hour off is warned, and its workers are served", () =>
  onEach(right, async ({ url, open }) => {
    const accounts = await open();
    for (const hours of [-1, 1]) {
      const logged: string[] = [];
      const clock = { ...systemClock, now: () => systemClock.now() + hours * 3_600_000 };
      const broker: Broker = {
        ...{ url, user: null, password: null, credsPath: null, identities: accounts.identities },
      };
      const log = (level: string, message: string) => void logged.push(`${level} ${message}`);
      await assertUsable(broker, accounts, { clock, log });
      assertMatch(logged.join(), hours < 0 ? /^warn .* 60 min behind/ : /^warn .* 60 min ahead/);
    }
  }));

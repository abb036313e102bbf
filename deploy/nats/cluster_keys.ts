/**
 * Keys and tokens of a fleet's own cluster: an operator, the accounts that the coordinator's own broker has as well
 * (shared/bus/nats_accounts.ts), and who connects to them.
 */
import { z } from "zod";
import {
  accountKeys,
  type BrokerAccounts,
  brokerAccounts,
  leafUserOf,
  masterOf,
} from "../../shared/bus/nats_accounts.ts";
import { credentialsText } from "../../shared/bus/nats_credentials.ts";
import { createNatsKeys, type NatsKeyKind } from "../../shared/bus/nats_keys.ts";

const seedSchema = z.string().regex(/^S[A-Z2-7]{57}$/);

/** The file that is all of a cluster's power: whoever has it can sign any identity. */
export const clusterKeysSchema = z.strictObject({
  /** In seconds since 1970: of all tokens, so that those of a later run do not count as newer than the coordinator's changes. */
  createdAt: z.int(),
  operator: seedSchema,
  fleet: seedSchema,
  streams: seedSchema,
  system: seedSchema,
  /** Credentials files, by who connects and where. */
  credentials: z.strictObject({
    coordinatorStreams: z.string(),
    coordinatorSystem: z.string(),
    leafFleet: z.string(),
    leafSystem: z.string(),
    /** Of the leaf node beside the coordinator; not there in files of earlier versions. */
    besideCoordinator: z.strictObject({ streams: z.string(), system: z.string() }).optional(),
  }),
});
export type ClusterKeys = z.output<typeof clusterKeysSchema>;

/** New keys at each call. `now` is in seconds since 1970. */
export function createClusterKeys(now: number): ClusterKeys {
  const seed = (kind: NatsKeyKind) => new TextDecoder().decode(createNatsKeys(kind).seed);
  const seeds = {
    operator: seed("operator"),
    fleet: seed("account"),
    streams: seed("account"),
    system: seed("account"),
  };
  const { fleet, streams, system } = accountKeys(seeds);
  const user = () => createNatsKeys("user");
  return {
    createdAt: now,
    ...seeds,
    credentials: {
      coordinatorStreams: credentialsText(masterOf(streams, user(), now)),
      coordinatorSystem: credentialsText(masterOf(system, user(), now)),
      leafFleet: credentialsText(leafUserOf("fleet", fleet, user(), now)),
      leafSystem: credentialsText(leafUserOf("system", system, user(), now)),
      besideCoordinator: credentialsBeside({ ...seeds, createdAt: now }),
    },
  };
}

/** New users of the leaf node beside the coordinator: it carries the streams, and what tells the servers of revoked workers. */
export function credentialsBeside(keys: Omit<ClusterKeys, "credentials">) {
  const { streams, system } = accountKeys(keys);
  const user = () => createNatsKeys("user");
  return {
    streams: credentialsText(leafUserOf("streams", streams, user(), keys.createdAt)),
    system: credentialsText(leafUserOf("revoking", system, user(), keys.createdAt)),
  };
}

/** What servers are configured with: no secrets. */
export interface PublicAccounts {
  readonly accounts: BrokerAccounts;
  readonly publicKeys: { readonly fleet: string; readonly system: string; readonly streams: string };
}

export function publicAccounts(keys: ClusterKeys): PublicAccounts {
  const pairs = accountKeys(keys);
  return {
    accounts: brokerAccounts(pairs, [], keys.createdAt),
    publicKeys: {
      fleet: pairs.fleet.publicKey,
      system: pairs.system.publicKey,
      streams: pairs.streams.publicKey,
    },
  };
}

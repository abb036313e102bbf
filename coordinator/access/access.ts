/** Who may join and who has joined: workers' credentials, issued, checked, revoked, kept over restarts. */
import type { NatsKeys } from "../../shared/bus/nats_keys.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { type AccountSigner, type Revocation, signerOf } from "../../shared/bus/nats_accounts.ts";
import { decideJoin } from "./access_decision.ts";
import type { AccessStore, JoinedWorker, JoinTokenRecord } from "./access_store.ts";
import { createJoinTokens, type NewJoinToken } from "./join_tokens.ts";
import { issueCredential, readCredential, type WorkerIdentity } from "./worker_credentials.ts";

export interface JoinRequest {
  /** The last part of the join URL. */
  readonly joinToken: string;
  readonly publicKey: string;
  /** The worker's current credential; null on its first join. */
  readonly credential: string | null;
}

export interface Credential {
  readonly token: string;
  readonly lifetimeMs: number;
}

export interface Access {
  /** Issues a credential. Throws `unauthorized` with what to do, `invalid_request` for a bad key. */
  join(request: JoinRequest): Credential;
  /** Throws `unauthorized` if the token of a join URL admits no worker. */
  assertJoinToken(joinToken: string): void;
  /** The owner of a credential. Throws `unauthorized`. */
  identify(credential: string): WorkerIdentity;
  tokens(): readonly JoinTokenRecord[];
  /** @param ttlMs null: never expires */
  createToken(name: string, ttlMs: number | null): NewJoinToken;
  /** Ends joining by this token; `withWorkers` also revokes the workers that joined by it. Throws `not_found`. */
  revokeToken(
    id: string,
    withWorkers: boolean,
  ): Promise<{ record: JoinTokenRecord; revokedWorkers: string[] }>;
  /** Throws `not_found`. */
  revokeWorker(worker: string): Promise<void>;
  /** `joinToken` if it still admits workers, otherwise a new one with this name. */
  defaultToken(joinToken: string | null, name: string, ttlMs: number | null): string;
  revocations(): readonly Revocation[];
}

interface AccessOptions {
  readonly store: AccessStore;
  /** Signs the credentials. */
  readonly account: NatsKeys | AccountSigner;
  readonly clock: Clock;
  readonly lifetimeMs: number;
  /** Makes the broker refuse revoked workers and close their connections. */
  readonly enforce: (revocations: readonly Revocation[]) => Promise<void>;
}

export function createAccess(options: AccessOptions): Access {
  const { store, account, clock, lifetimeMs } = options;
  const tokens = createJoinTokens(store, clock);

  const identify = (credential: string): WorkerIdentity => {
    const identity = readCredential(signerOf(account).keys.publicKey, credential, clock.now());
    if (store.worker(identity.publicKey)?.revokedAt === null) return identity;
    const message = `worker ${identity.worker} was revoked: it is no longer served`;
    throw new LoraFleetError("unauthorized", message);
  };
  const assertAllowed = (attempt: Parameters<typeof decideJoin>[0]): void => {
    const { isAllowed, reason } = decideJoin(attempt, clock.now());
    if (!isAllowed) throw new LoraFleetError("unauthorized", reason, { param: "token" });
  };
  const isValidFor = (credential: string, publicKey: string): boolean => {
    try {
      return identify(credential).publicKey === publicKey;
    } catch {
      return false;
    }
  };

  return {
    join({ joinToken, publicKey, credential }) {
      const token = tokens.find(joinToken);
      const known = store.worker(publicKey);
      const isMember = credential !== null && isValidFor(credential, publicKey);
      assertAllowed({ token, known, isMember });
      const now = clock.now();
      const issued = issueCredential(account, publicKey, now, lifetimeMs);
      store.putWorker({
        publicKey,
        worker: issued.worker,
        tokenId: known?.tokenId ?? token!.id,
        joinedAt: known?.joinedAt ?? now,
        expiresAt: issued.expiresAt,
        revokedAt: null,
      });
      return { token: issued.token, lifetimeMs };
    },
    assertJoinToken: (joinToken) =>
      assertAllowed({ token: tokens.find(joinToken), known: null, isMember: false }),
    identify,
    tokens: tokens.list,
    createToken: (name, ttlMs) => tokens.create(name, ttlMs),
    async revokeToken(id, withWorkers) {
      const record = tokens.revoke(id);
      return { record, revokedWorkers: withWorkers ? await revokeWorkers(options, store.workersOf(id)) : [] };
    },
    async revokeWorker(id) {
      const worker = store.workerById(id);
      if (worker === null) {
        const message = `no worker ${quote(id)} has joined; GET /v1/workers lists all`;
        throw new LoraFleetError("not_found", message, { param: "id" });
      }
      await revokeWorkers(options, [worker]);
    },
    defaultToken: tokens.usableOr,
    revocations: () => currentRevocations(options),
  };
}

/** Stores before it enforces: a broker that starts in between reads the store. Returns the newly revoked workers. */
async function revokeWorkers(options: AccessOptions, workers: readonly JoinedWorker[]): Promise<string[]> {
  const revokedAt = options.clock.now();
  const added = workers.filter((worker) => worker.revokedAt === null);
  for (const worker of added) options.store.putWorker({ ...worker, revokedAt });
  if (added.length > 0) await options.enforce(currentRevocations(options));
  return added.map(({ worker }) => worker);
}

/** Forgets workers whose credentials have all expired. */
function currentRevocations({ store, clock, lifetimeMs }: AccessOptions): readonly Revocation[] {
  store.forgetWorkers(clock.now() - lifetimeMs);
  return store.revokedWorkers().map(({ publicKey, revokedAt }) => (
    { publicKey, revokedAt: Math.ceil(revokedAt! / 1000) }
  ));
}

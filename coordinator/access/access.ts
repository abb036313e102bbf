/** Join tokens and workers' credentials: made, checked, revoked, kept over restarts. */
import { createHash } from "node:crypto";
import type { NatsKeys } from "../../shared/bus/nats_keys.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { decideJoin } from "./access_decision.ts";
import type { Revocation } from "../broker/nats_accounts.ts";
import { equalSecrets } from "./secrets.ts";
import type { AccessStore, JoinedWorker, JoinTokenRecord } from "./access_store.ts";
import { randomText } from "../storage/ids.ts";
import { issueCredential, readCredential, type WorkerIdentity } from "./worker_credentials.ts";

export interface JoinRequest {
  /** The last part of the join URL. */
  readonly joinToken: string;
  readonly publicKey: string;
  /** The credential that the worker has; null for a new one. */
  readonly credential: string | null;
}

export interface Credential {
  readonly token: string;
  readonly lifetimeMs: number;
}

export interface Access {
  /** A credential for a worker. Throws a `LoraFleetError`: `unauthorized` with what to do, `invalid_request` for a bad key. */
  join(request: JoinRequest): Credential;
  /** Throws a `LoraFleetError` with code `unauthorized` where the token of a join URL lets nobody in. */
  assertJoinToken(joinToken: string): void;
  /** Whose credential it is. Throws a `LoraFleetError` with code `unauthorized`. */
  identify(credential: string): WorkerIdentity;
  tokens(): readonly JoinTokenRecord[];
  /** `ttlMs` null: it never expires. The token itself is told once. */
  createToken(
    name: string,
    ttlMs: number | null,
  ): { readonly record: JoinTokenRecord; readonly token: string };
  /** From now on nobody joins by it; `withWorkers` also throws out who has. Throws a `LoraFleetError` with code `not_found`. */
  revokeToken(
    id: string,
    withWorkers: boolean,
  ): Promise<{ record: JoinTokenRecord; revokedWorkers: string[] }>;
  /** Throws a `LoraFleetError` with code `not_found`. */
  revokeWorker(worker: string): Promise<void>;
  /** `joinToken` where it still lets workers in, else a new one with this name. */
  defaultToken(joinToken: string | null, name: string, ttlMs: number | null): string;
  revocations(): readonly Revocation[];
}

export interface AccessOptions {
  readonly store: AccessStore;
  /** Signs the credentials. */
  readonly account: NatsKeys;
  readonly clock: Clock;
  readonly lifetimeMs: number;
  /** Makes the broker refuse who is revoked, and close its connections. */
  readonly enforce: (revocations: readonly Revocation[]) => Promise<void>;
}

/** 190 bits. */
const TOKEN_LENGTH = 32;

export function createAccess({ store, account, clock, lifetimeMs, enforce }: AccessOptions): Access {
  const hashOf = (token: string) => createHash("sha256").update(token).digest("hex");
  const recordOf = (joinToken: string): JoinTokenRecord | null => {
    const hash = hashOf(joinToken);
    return store.tokens().find((token) => equalSecrets(token.hash, hash)) ?? null;
  };

  function identify(credential: string): WorkerIdentity {
    const identity = readCredential(account.publicKey, credential, clock.now());
    if (store.worker(identity.publicKey)?.revokedAt === null) return identity;
    throw new LoraFleetError(
      "unauthorized",
      `worker ${identity.worker} was revoked: it is not served any more`,
    );
  }

  function assertAllowed(attempt: Parameters<typeof decideJoin>[0]): void {
    const { isAllowed, reason } = decideJoin(attempt, clock.now());
    if (!isAllowed) throw new LoraFleetError("unauthorized", reason, { param: "token" });
  }

  const isOf = (credential: string, publicKey: string): boolean => {
    try {
      return identify(credential).publicKey === publicKey;
    } catch {
      return false;
    }
  };

  /** Stored before it is enforced: a broker that starts meanwhile reads it from the store. */
  async function revokeWorkers(workers: readonly JoinedWorker[]): Promise<string[]> {
    const now = clock.now();
    const news = workers.filter(({ revokedAt }) => revokedAt === null);
    for (const worker of news) store.putWorker({ ...worker, revokedAt: now });
    if (news.length > 0) await enforce(revocations());
    return news.map(({ worker }) => worker);
  }

  function revocations(): readonly Revocation[] {
    store.forgetWorkers(clock.now() - lifetimeMs);
    return store.revokedWorkers().map(({ publicKey, revokedAt }) => ({
      publicKey,
      revokedAt: Math.ceil(revokedAt! / 1000),
    }));
  }

  function createToken(name: string, ttlMs: number | null, token = randomText(TOKEN_LENGTH)) {
    const createdAt = clock.now();
    const record: JoinTokenRecord = {
      id: `join-${randomText(12)}`,
      ...{ name, createdAt, hash: hashOf(token), revokedAt: null },
      expiresAt: ttlMs === null ? null : createdAt + ttlMs,
    };
    store.putToken(record);
    return { record, token };
  }

  return {
    join({ joinToken, publicKey, credential }) {
      const token = recordOf(joinToken);
      const known = store.worker(publicKey);
      assertAllowed({ token, known, isMember: credential !== null && isOf(credential, publicKey) });
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
      assertAllowed({ token: recordOf(joinToken), known: null, isMember: false }),
    identify,
    tokens: () => store.tokens(),
    createToken: (name, ttlMs) => createToken(name, ttlMs),
    async revokeToken(id, withWorkers) {
      const found = store.tokens().find((token) => token.id === id);
      if (found === undefined) {
        throw new LoraFleetError("not_found", `no join token ${quote(id)}; GET /v1/join-tokens lists all`, {
          param: "id",
        });
      }
      const record = { ...found, revokedAt: found.revokedAt ?? clock.now() };
      store.putToken(record);
      return { record, revokedWorkers: withWorkers ? await revokeWorkers(store.workersOf(id)) : [] };
    },
    async revokeWorker(id) {
      const worker = store.workerById(id);
      if (worker === null) {
        throw new LoraFleetError(
          "not_found",
          `no worker ${quote(id)} has joined; GET /v1/workers lists all`,
          {
            param: "id",
          },
        );
      }
      await revokeWorkers([worker]);
    },
    defaultToken(joinToken, name, ttlMs) {
      if (joinToken === null) return createToken(name, ttlMs).token;
      const known = recordOf(joinToken);
      if (known === null) return createToken(name, ttlMs, joinToken).token;
      if (decideJoin({ token: known, known: null, isMember: false }, clock.now()).isAllowed) return joinToken;
      return createToken(name, ttlMs).token;
    },
    revocations,
  };
}

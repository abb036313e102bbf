/** Join tokens: made, checked and revoked; the store keeps their hashes only. */
import { createHash } from "node:crypto";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { randomText } from "../storage/ids.ts";
import { decideJoin } from "./access_decision.ts";
import type { AccessStore, JoinTokenRecord } from "./access_store.ts";
import { equalSecrets } from "./secrets.ts";

/** 190 bits. */
const TOKEN_LENGTH = 32;

export interface NewJoinToken {
  readonly record: JoinTokenRecord;
  /** Readable this once: only its hash is stored. */
  readonly token: string;
}

interface JoinTokens {
  /** Newest first. */
  list(): readonly JoinTokenRecord[];
  /** Null for a token that was never made. */
  find(token: string): JoinTokenRecord | null;
  /** @param ttlMs null: never expires */
  create(name: string, ttlMs: number | null, token?: string): NewJoinToken;
  /** Throws `not_found`. */
  revoke(id: string): JoinTokenRecord;
  /** `token` if it still admits workers or is unknown, otherwise a new one with this name. */
  usableOr(token: string | null, name: string, ttlMs: number | null): string;
}

export function createJoinTokens(store: AccessStore, clock: Pick<Clock, "now">): JoinTokens {
  const find = (token: string): JoinTokenRecord | null => {
    const hash = hashOf(token);
    return store.tokens().find((record) => equalSecrets(record.hash, hash)) ?? null;
  };

  function create(name: string, ttlMs: number | null, token = randomText(TOKEN_LENGTH)): NewJoinToken {
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
    list: () => store.tokens(),
    find,
    create,
    revoke(id) {
      const found = store.tokens().find((token) => token.id === id);
      if (found === undefined) {
        const message = `no join token ${quote(id)}; GET /v1/join-tokens lists all`;
        throw new LoraFleetError("not_found", message, { param: "id" });
      }
      const record = { ...found, revokedAt: found.revokedAt ?? clock.now() };
      store.putToken(record);
      return record;
    },
    usableOr(token, name, ttlMs) {
      if (token === null) return create(name, ttlMs).token;
      const record = find(token);
      if (record === null) return create(name, ttlMs, token).token;
      const { isAllowed } = decideJoin({ token: record, known: null, isMember: false }, clock.now());
      return isAllowed ? token : create(name, ttlMs).token;
    },
  };
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

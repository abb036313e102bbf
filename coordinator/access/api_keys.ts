/** API keys of users: made, checked, changed and revoked; the store keeps their hashes only. */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { randomText } from "../storage/ids.ts";
import { type Role, ROLES } from "./roles.ts";
import { equalSecrets } from "./secrets.ts";

/** 190 bits. */
const SECRET_LENGTH = 32;
/** Logs and scanners recognise a key by it (shared/redact.ts). */
const PREFIX = "lfkey-";

const quotasSchema = z.strictObject({
  /** Unfinished jobs at a time: validating, queued, running or paused; null: any number. */
  jobs: z.int().nullable(),
  /** Bytes of all its uploads that are stored at a time; null: any number. */
  uploadBytes: z.int().nullable(),
});
export type Quotas = z.output<typeof quotasSchema>;

export const apiKeySchema = z.strictObject({
  id: z.string(),
  /** For people; audit lines show it. */
  name: z.string(),
  role: z.enum(ROLES),
  quotas: quotasSchema,
  /** SHA-256 of the key, so that reading the file lets no one in. */
  hash: z.string(),
  /** All times are in milliseconds since 1970. */
  createdAt: z.number(),
  /** Null: never. */
  expiresAt: z.number().nullable(),
  revokedAt: z.number().nullable(),
});
export type ApiKeyRecord = z.output<typeof apiKeySchema>;

/** Who asks. */
export interface Caller {
  /** Null for a configured key, and for programs on this machine if there is none. */
  readonly keyId: string | null;
  readonly name: string;
  readonly role: Role;
  readonly quotas: Quotas;
}

export interface ApiKeyFields {
  readonly name: string;
  readonly role: Role;
  readonly quotas: Quotas;
  /** Null: never expires. */
  readonly expiresAt: number | null;
}

export interface ApiKeys {
  /** Newest first, revoked ones too: audit lines name them. */
  list(): readonly ApiKeyRecord[];
  /** The key is readable this once. */
  create(fields: ApiKeyFields): { readonly record: ApiKeyRecord; readonly key: string };
  /** Throws `not_found`, or `conflict` if the key is revoked. */
  change(id: string, fields: Partial<ApiKeyFields>): ApiKeyRecord;
  /** Throws `not_found`. */
  revoke(id: string): ApiKeyRecord;
  /** Null if the key was never made here. Throws `unauthorized` if it is revoked or has expired. */
  identify(key: string): Caller | null;
}

export interface ApiKeyStore {
  putApiKey(key: ApiKeyRecord): void;
  /** Newest first. */
  apiKeys(): readonly ApiKeyRecord[];
}

export const NO_QUOTAS: Quotas = { jobs: null, uploadBytes: null };

export function createApiKeys(store: ApiKeyStore, clock: Pick<Clock, "now">): ApiKeys {
  const get = (id: string): ApiKeyRecord => {
    const found = store.apiKeys().find((key) => key.id === id);
    if (found !== undefined) return found;
    throw new LoraFleetError("not_found", `no API key ${quote(id)}; GET /v1/api-keys lists all`, {
      param: "id",
    });
  };
  const put = (record: ApiKeyRecord): ApiKeyRecord => {
    store.putApiKey(record);
    return record;
  };

  return {
    list: () => store.apiKeys(),
    create(fields) {
      const key = `${PREFIX}${randomText(SECRET_LENGTH)}`;
      const id = `key-${randomText(12)}`;
      return {
        key,
        record: put({ ...fields, id, hash: hashOf(key), createdAt: clock.now(), revokedAt: null }),
      };
    },
    change(id, fields) {
      const found = get(id);
      if (found.revokedAt === null) return put({ ...found, ...fields });
      const message = `API key ${quote(found.name)} is revoked, which is final: create a new one`;
      throw new LoraFleetError("conflict", message, { param: "id" });
    },
    revoke(id) {
      const found = get(id);
      return put({ ...found, revokedAt: found.revokedAt ?? clock.now() });
    },
    identify(key) {
      const hash = hashOf(key);
      const found = store.apiKeys().find((record) => equalSecrets(record.hash, hash));
      if (found === undefined) return null;
      const { id, name, role, quotas, expiresAt, revokedAt } = found;
      const isOver = revokedAt !== null
        ? "was revoked"
        : (expiresAt ?? Infinity) <= clock.now()
        ? "has expired"
        : null;
      if (isOver === null) return { keyId: id, name, role, quotas };
      throw new LoraFleetError(
        "unauthorized",
        `the API key ${quote(name)} ${isOver}: ask an admin for a new one`,
      );
    },
  };
}

function hashOf(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

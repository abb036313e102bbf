/**
 * Join tokens and API keys (as hashes), the keys of joined workers, and quarantines, in one SQLite file of the data folder. The lock on the
 * job store beside it keeps a second coordinator away from both.
 */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { apiKeySchema, type ApiKeyStore } from "./api_keys.ts";
import { quarantineSchema, type QuarantineStore } from "./quarantines.ts";
import { copyDatabase } from "../storage/copy_database.ts";
import { migrate, type Migration } from "../storage/migrations.ts";
import { onDatabase, openPrivateDatabase } from "../storage/sqlite.ts";
import { compileOnce } from "../storage/statements.ts";

export const joinTokenSchema = z.strictObject({
  id: z.string(),
  /** For people. */
  name: z.string(),
  /** SHA-256 of the token, so that reading the file lets no one join. */
  hash: z.string(),
  /** All times are in milliseconds since 1970. */
  createdAt: z.number(),
  /** Null: never. */
  expiresAt: z.number().nullable(),
  revokedAt: z.number().nullable(),
});
export type JoinTokenRecord = z.output<typeof joinTokenSchema>;

const joinedWorkerSchema = z.strictObject({
  publicKey: z.string(),
  worker: z.string(),
  /** The join token that it used. */
  tokenId: z.string(),
  joinedAt: z.number(),
  /** When its newest credential expires. */
  expiresAt: z.number(),
  revokedAt: z.number().nullable(),
});
export type JoinedWorker = z.output<typeof joinedWorkerSchema>;

export interface AccessStore extends QuarantineStore, ApiKeyStore {
  putToken(token: JoinTokenRecord): void;
  /** Newest first. */
  tokens(): readonly JoinTokenRecord[];
  putWorker(worker: JoinedWorker): void;
  worker(publicKey: string): JoinedWorker | null;
  workerById(id: string): JoinedWorker | null;
  workersOf(tokenId: string): readonly JoinedWorker[];
  revokedWorkers(): readonly JoinedWorker[];
  /** Forgets workers whose credentials have all expired before a time, and their quarantines. */
  forgetWorkers(before: number): void;
  /** Copies everything into a new file while others go on. Throws `storage`. */
  copyTo(path: string): Promise<void>;
  close(): void;
}

/** Version n is reached by the n-th; never changed once released. */
export const ACCESS_MIGRATIONS: readonly Migration[] = [
  // The first releases gave it no version.
  `CREATE TABLE IF NOT EXISTS join_tokens (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, record TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS workers (
    public_key TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, token_id TEXT NOT NULL, revoked INTEGER NOT NULL,
    expires_at REAL NOT NULL, record TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS quarantines (worker TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
  CREATE INDEX IF NOT EXISTS workers_by_token ON workers (token_id);`,
  `CREATE TABLE api_keys (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, record TEXT NOT NULL
  ) STRICT;`,
];

/** `path` may be ":memory:". Throws `storage`. */
export function openAccessStore(path: string): AccessStore {
  const db = open(path);
  const compiled = compileOnce(db);
  const write = (sql: string, ...parameters: SQLInputValue[]): void =>
    onDatabase("store who may join", () => void compiled(sql).run(...parameters));
  const rows = (sql: string, ...parameters: SQLInputValue[]) =>
    onDatabase("read who may join", () => compiled(sql).all(...parameters));
  const select = <T>(schema: z.ZodType<T>, tail: string, ...parameters: SQLInputValue[]): T[] =>
    rows(`SELECT record FROM ${tail}`, ...parameters).map((row) =>
      schema.parse(JSON.parse(z.object({ record: z.string() }).parse(row).record))
    );
  const selectWorkers = (tail: string, ...parameters: SQLInputValue[]) =>
    select(joinedWorkerSchema, `workers ${tail}`, ...parameters);

  return {
    putToken: (token) => {
      const sql =
        "INSERT INTO join_tokens (id, record) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET record = ?2";
      write(sql, token.id, JSON.stringify(token));
    },
    tokens: () => select(joinTokenSchema, "join_tokens ORDER BY seq DESC"),
    putApiKey: (key) => {
      const sql =
        "INSERT INTO api_keys (id, record) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET record = ?2";
      write(sql, key.id, JSON.stringify(key));
    },
    apiKeys: () => select(apiKeySchema, "api_keys ORDER BY seq DESC"),
    putWorker: (worker) => {
      const { publicKey, worker: id, tokenId, revokedAt, expiresAt } = worker;
      const sql = "INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?, ?)";
      write(sql, publicKey, id, tokenId, revokedAt === null ? 0 : 1, expiresAt, JSON.stringify(worker));
    },
    worker: (publicKey) => selectWorkers("WHERE public_key = ?", publicKey)[0] ?? null,
    workerById: (id) => selectWorkers("WHERE id = ?", id)[0] ?? null,
    workersOf: (tokenId) => selectWorkers("WHERE token_id = ?", tokenId),
    revokedWorkers: () => selectWorkers("WHERE revoked = 1"),
    forgetWorkers: (before) => {
      write("DELETE FROM quarantines WHERE worker IN (SELECT id FROM workers WHERE expires_at < ?)", before);
      write("DELETE FROM workers WHERE expires_at < ?", before);
    },
    putQuarantine: (quarantine) => {
      const sql = "INSERT OR REPLACE INTO quarantines (worker, record) VALUES (?, ?)";
      write(sql, quarantine.worker, JSON.stringify(quarantine));
    },
    quarantines: () => select(quarantineSchema, "quarantines ORDER BY worker"),
    deleteQuarantine: (worker) => write("DELETE FROM quarantines WHERE worker = ?", worker),
    copyTo: (path) => copyDatabase(db, path),
    close: () => db.close(),
  };
}

function open(path: string): DatabaseSync {
  try {
    const db = openPrivateDatabase(path);
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    migrate(db, path, ACCESS_MIGRATIONS);
    return db;
  } catch (thrown) {
    if (thrown instanceof LoraFleetError) throw thrown;
    const message = `cannot open ${quote(path)}: ${messageOf(thrown)}`;
    throw new LoraFleetError("storage", message, { param: "data-folder", cause: thrown });
  }
}

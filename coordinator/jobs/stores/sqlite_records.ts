/** Records in SQLite tables: one JSON text a row, parsed and validated when it is read, listed page by page. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { z } from "zod";
import { messageOf, quote } from "../../../shared/errors.ts";
import { inTransaction, onDatabase } from "../../storage/sqlite.ts";
import type { Compiled } from "../../storage/statements.ts";
import { type Page, type PageQuery, unknownPlace } from "./job_store.ts";

const rowSchema = z.object({ seq: z.int(), record: z.string() });
const placeSchema = z.object({ seq: z.int() });

type ListedTable = "jobs" | "checkpoints" | "files";

/** A condition on rows, with its parameters. */
export interface Condition {
  readonly sql: string;
  readonly parameters: readonly SQLInputValue[];
}

/** The tables of records in one database. */
export class SqliteRecords {
  readonly #db: DatabaseSync;
  readonly #compiled: Compiled;
  readonly #onUnreadable: (table: string, seq: number, problem: string) => void;
  readonly #reported = new Set<string>();

  /** `onUnreadable` receives each unreadable record once. */
  constructor(
    db: DatabaseSync,
    compiled: Compiled,
    onUnreadable: (table: string, seq: number, problem: string) => void,
  ) {
    this.#db = db;
    this.#compiled = compiled;
    this.#onUnreadable = onUnreadable;
  }

  /** Runs one statement that writes. Throws `storage` if the disk refuses. */
  write(sql: string, ...parameters: SQLInputValue[]): void {
    onDatabase("store a record", () => this.#compiled(sql).run(...parameters));
  }

  /** Rows of a table: sequence numbers and JSON texts. */
  rows(table: string, tail: string, ...parameters: SQLInputValue[]): z.output<typeof rowSchema>[] {
    const sql = `SELECT seq, record FROM ${table} ${tail}`;
    return onDatabase("read a record", () => this.#compiled(sql).all(...parameters))
      .map((row) => rowSchema.parse(row));
  }

  /** The readable records of a table. */
  select<T>(schema: z.ZodType<T>, table: ListedTable, tail: string, ...parameters: SQLInputValue[]): T[] {
    return this.rows(table, tail, ...parameters).map((row) => this.#read(schema, table, row))
      .filter((item) => item !== null);
  }

  /** A page of the records that meet all conditions. Throws `not_found` for an `after` that was never in the table. */
  page<T>(schema: z.ZodType<T>, table: ListedTable, narrow: readonly Condition[], query: PageQuery): Page<T> {
    const isAscending = query.order === "asc";
    const conditions = query.after === null ? narrow : [
      ...narrow,
      { sql: `seq ${isAscending ? ">" : "<"} ?`, parameters: [this.#placeOf(table, query.after)] },
    ];
    const where = conditions.length === 0 ? "" : `WHERE ${conditions.map(({ sql }) => sql).join(" AND ")}`;
    const found = this.rows(
      table,
      `${where} ORDER BY seq ${isAscending ? "ASC" : "DESC"} LIMIT ?`,
      ...conditions.flatMap(({ parameters }) => parameters),
      query.limit + 1,
    );
    const items = found.slice(0, query.limit).map((row) => this.#read(schema, table, row));
    return { items: items.filter((item) => item !== null), hasMore: found.length > query.limit };
  }

  /** The sum of a column over the rows that meet a condition. */
  sum(table: ListedTable, column: string, { sql, parameters }: Condition): number {
    const query = `SELECT COALESCE(SUM(${column}), 0) AS total FROM ${table} WHERE ${sql}`;
    const row = onDatabase("read a record", () => this.#compiled(query).get(...parameters));
    return z.object({ total: z.int() }).parse(row).total;
  }

  /** Deletes rows and keeps their positions, so that a client can page past them. Returns whether there were any. */
  remove(table: ListedTable, { sql, parameters }: Condition): boolean {
    return inTransaction(this.#db, () => {
      const keep =
        `INSERT OR REPLACE INTO deleted (kind, id, seq) SELECT ?, id, seq FROM ${table} WHERE ${sql}`;
      this.#compiled(keep).run(table, ...parameters);
      return this.#compiled(`DELETE FROM ${table} WHERE ${sql}`).run(...parameters).changes > 0;
    });
  }

  /** Null for a record that cannot be read: a damaged or edited row must not hide all others. */
  #read<T>(schema: z.ZodType<T>, table: ListedTable, { seq, record }: z.output<typeof rowSchema>): T | null {
    try {
      return schema.parse(JSON.parse(record));
    } catch (thrown) {
      const place = `${table} ${seq}`;
      if (!this.#reported.has(place)) {
        this.#onUnreadable(table, seq, `${quote(record.slice(0, 60))}: ${reasonOf(thrown)}`);
      }
      this.#reported.add(place);
      return null;
    }
  }

  #placeOf(table: ListedTable, id: string): number {
    const sql =
      `SELECT seq FROM ${table} WHERE id = ?1 UNION ALL SELECT seq FROM deleted WHERE kind = ?2 AND id = ?1`;
    const found = this.#compiled(sql).get(id, table);
    if (found === undefined) throw unknownPlace(id);
    return placeSchema.parse(found).seq;
  }
}

function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof z.ZodError)) return messageOf(thrown);
  const { path, message } = thrown.issues[0]!;
  return `${path.join(".")}: ${message}`;
}

/**
 * SQL compiled once for a database. Deno frees a compiled statement only in a full garbage collection, and searches the list of all
 * statements for each one that it frees: 40,000 of them stop the process for half a second, and 200 listeners of a job's events had
 * made as many in half a minute.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";

/** Far above the texts of ours; above it all are compiled anew, so that texts made of what clients send cannot pile up. */
const MAX_STATEMENTS = 200;

export type Compiled = (sql: string) => StatementSync;

/** The result must not be used within an `iterate` of the same SQL. */
export function compileOnce(db: Pick<DatabaseSync, "prepare">): Compiled {
  const statements = new Map<string, StatementSync>();
  return (sql) => {
    const known = statements.get(sql);
    if (known !== undefined) return known;
    if (statements.size >= MAX_STATEMENTS) statements.clear();
    const statement = db.prepare(sql);
    statements.set(sql, statement);
    return statement;
  };
}

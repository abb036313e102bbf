/**
 * How many jobs have which status. Counted once, then kept, since this process is the only writer: a count reads every record, and
 * Prometheus asks every few seconds for years.
 */
import { z } from "zod";
import { onDatabase } from "../../storage/sqlite.ts";
import type { Compiled } from "../../storage/statements.ts";
import { type JobRecord, type JobStatus, jobStatusSchema } from "../record/job.ts";

const countSchema = z.array(z.object({ status: jobStatusSchema, count: z.int() }));
const statusSchema = z.object({ status: jobStatusSchema });

export interface JobCounts {
  /** A status without jobs may be left out. */
  all(): ReadonlyMap<JobStatus, number>;
  /** Runs `write`, which stores the job in place of its earlier record, if there is one, or throws and has changed nothing. */
  around<T>(job: Pick<JobRecord, "id" | "status">, write: () => T): T;
}

export function createJobCounts(compiled: Compiled): JobCounts {
  let counts: Map<JobStatus, number> | null = null;
  const count = () => {
    const sql = "SELECT record ->> '$.status' AS status, count(*) AS count FROM jobs GROUP BY status";
    const rows = onDatabase("read a record", () => compiled(sql).all());
    return new Map(countSchema.parse(rows).map(({ status, count }) => [status, count]));
  };
  const statusOf = (id: string): JobStatus | null => {
    const sql = "SELECT record ->> '$.status' AS status FROM jobs WHERE id = ?";
    const row = onDatabase("read a record", () => compiled(sql).get(id));
    // A record that was damaged by hand has none, and is none of those that were counted.
    return statusSchema.safeParse(row).data?.status ?? null;
  };
  const change = (status: JobStatus, by: number) => counts!.set(status, (counts!.get(status) ?? 0) + by);

  return {
    all: () => counts ??= count(),
    around({ id, status }, write) {
      // Nobody has asked yet.
      if (counts === null) return write();
      const before = statusOf(id);
      const result = write();
      if (before !== null) change(before, -1);
      change(status, 1);
      return result;
    },
  };
}

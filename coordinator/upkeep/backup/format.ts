/**
 * What a backup is: a tar archive of a data folder. First `backup.json` with versions, then the files, last `manifest.json` with
 * the SHA-256 of each, by which a damaged or cut archive is recognised.
 */
import { z } from "zod";
import { LoraFleetError } from "../../../shared/errors.ts";
import { ACCESS_MIGRATIONS } from "../../access/access_store.ts";
import { SCHEMA_VERSION } from "../../jobs/stores/job_database.ts";
import { newestLayout } from "../layout.ts";

export const HEAD = "backup.json";
export const MANIFEST = "manifest.json";
const FORMAT = 1;

/** With the newest version that this code reads. */
export const DATABASES = {
  "coordinator.sqlite": SCHEMA_VERSION,
  "access.sqlite": ACCESS_MIGRATIONS.length,
} as const;
export type DatabaseName = keyof typeof DATABASES;
export const DATABASE_NAMES = Object.keys(DATABASES) as readonly DatabaseName[];

export const headSchema = z.object({
  format: z.int().default(FORMAT),
  layout: z.int(),
  databases: z.record(z.string(), z.int()),
  /** For people. */
  created_at: z.string(),
});
export type BackupHead = z.output<typeof headSchema>;

export const manifestSchema = z.object({
  files: z.array(z.object({ path: z.string(), size: z.int(), sha256: z.string() })),
});
export type Manifest = z.output<typeof manifestSchema>;

/** Throws `storage` if a newer lorafleet has written the backup. */
export function assertReadable(path: string, { format, layout, databases }: BackupHead): void {
  const found: readonly (readonly [string, number, number])[] = [
    ["the format", format, FORMAT],
    ["the layout", layout, newestLayout()],
    ...DATABASE_NAMES.map((name) => [name, databases[name] ?? 1, DATABASES[name]] as const),
  ];
  for (const [what, version, known] of found) {
    if (version <= known) continue;
    throw new LoraFleetError(
      "storage",
      `the backup "${path}" is from a newer lorafleet: ${what} has version ${version}, and this one reads versions up to ` +
        `${known}; update lorafleet, then restore`,
      { param: "from" },
    );
  }
}

/** Makes what can be derived again, what is in motion, and what is the user's own: none of it is in a backup. */
export const LEFT_OUT: readonly string[] = [
  "nats", // The broker's store: jobs go on from their newest stored state.
  "prepared", // Prepared again from the files.
  "uploads", // Parts in memory's keeping: they end with the process.
  "models", // Base models, as large as everything else together.
  "snapshots",
  "running.json",
  "probe.tmp",
];

/** The services behind the routes. */
import type { Clock } from "../../../shared/clock.ts";
import type { ParsedJobRequest } from "../../job_request/parse.ts";
import type { Access } from "../../access/access.ts";
import type { ApiKeys } from "../../access/api_keys.ts";
import type { AuditLog } from "../../access/audit_log.ts";
import type { ArtifactStore } from "../../storage/artifact_store.ts";
import type { FileStore } from "../../jobs/files/file_store.ts";
import type { ExportService } from "../../exports/export_service.ts";
import type { RunDry } from "../../estimate/dry_run.ts";
import type { Fleet } from "../../fleet/fleet.ts";
import type { JobService } from "../../jobs/job_service.ts";
import type { ModelRegistry } from "../../base_models/registry.ts";
import type { JobStore } from "../../jobs/stores/job_store.ts";
import type { DiskRoom } from "../../upkeep/disk_room.ts";
import type { JoinReply } from "../views/join_view.ts";
import type { Metrics } from "../../metrics/registry.ts";
import type { UploadStore } from "../../jobs/files/upload_store.ts";

export interface ReadinessCheck {
  readonly name: string;
  /** Null if all is well. */
  readonly problem: string | null;
}

export interface ApiServices {
  readonly jobs: JobService;
  /** Plans a job without creating it. */
  readonly runDry: RunDry;
  readonly store: JobStore;
  readonly files: FileStore;
  readonly uploads: UploadStore;
  readonly artifacts: ArtifactStore;
  readonly exports: ExportService;
  readonly models: ModelRegistry;
  readonly fleet: Fleet;
  readonly clock: Clock;
  /** Parses the body of a request for a job. Throws a `LoraFleetError` that names the field. */
  readonly parseJobRequest: (body: unknown) => ParsedJobRequest;
  /** The operator's keys; if empty, programs on this machine need none, and only they are served without. */
  readonly configuredKeys: readonly string[];
  /** Keys with roles and quotas, made over the API. */
  readonly apiKeys: ApiKeys;
  readonly audit: AuditLog;
  /** Another key of an admin: for programs that may read the data folder. */
  readonly folderKey: string;
  /** A consistent copy of the data folder. Throws `storage`. */
  readonly openBackup: () => Promise<{
    readonly stream: ReadableStream<Uint8Array>;
    readonly missing: readonly string[];
  }>;
  /** Join tokens and workers' credentials. */
  readonly access: Access;
  /** Default lifetime of a join token; null: unlimited. */
  readonly joinTokenTtlMs: number | null;
  /** `requestUrl` is the address that the worker used, so it leads to this coordinator. */
  readonly addresses: (requestUrl: URL) => Omit<JoinReply, "token" | "tokenLifetimeMs">;
  readonly metrics: Metrics;
  readonly readiness: () => Promise<readonly ReadinessCheck[]>;
  readonly maxUploadBytes: number;
  /** Of the data folder's disk. */
  readonly room: Pick<DiskRoom, "assertRoomFor">;
  /** Ends open event streams. */
  readonly stopping: AbortSignal;
  /** Strips paths from texts that leave the coordinator. */
  readonly hidePaths: (text: string) => string;
  readonly onDefect: (message: string, thrown: unknown) => void;
}

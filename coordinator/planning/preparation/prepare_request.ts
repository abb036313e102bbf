/** A job whose data is to be prepared. */
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import type { ResolvedModel } from "../../base_models/registry.ts";
import type { RecordedFile } from "../../storage/verified_file.ts";

export interface PrepareRequest {
  readonly id: string;
  readonly spec: JobSpec;
  readonly model: ResolvedModel;
  readonly trainingFile: RecordedFile & { readonly filename: string };
  readonly trainingFilePath: string;
  readonly signal: AbortSignal;
  /** For the user: how much data there is, truncated rows, a stop token without a label. */
  readonly event: (level: "info" | "warn", message: string, data?: Record<string, unknown>) => void;
}

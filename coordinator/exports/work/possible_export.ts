/** Whether an export can come to be, by the base model's config and tokenizer: also before its job has trained. */
import { LoraFleetError } from "../../../shared/errors.ts";
import { exportObstacle, isGguf } from "../../../shared/gguf/obstacle/obstacle.ts";
import type { ExportServiceOptions } from "./export_context.ts";
import type { ExportRequest } from "../record/export_request.ts";

/** A hub may be slow, and who asks waits. */
const MODEL_PATIENCE_MS = 10_000;

/** @throws LoraFleetError `invalid_request` for what cannot be. A base model that cannot be reached now says nothing */
export async function assertPossible(
  { models }: Pick<ExportServiceOptions, "models">,
  model: string,
  { kind }: Pick<ExportRequest, "kind">,
): Promise<void> {
  if (!isGguf(kind)) return;
  const signal = AbortSignal.timeout(MODEL_PATIENCE_MS);
  const described = await models.describe(model, { signal }).catch((thrown) => {
    if (thrown instanceof LoraFleetError || signal.aborted) return null;
    throw thrown;
  });
  const obstacle = described === null ? null : await exportObstacle(kind, described.folder);
  if (obstacle !== null) throw new LoraFleetError("invalid_request", obstacle, { param: "kind" });
}

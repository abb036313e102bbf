/** What a client may ask a push for, by the names of transformers' TrainingArguments. */
import { z } from "zod";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { explainInput } from "../../job_request/errors.ts";
import { checkTarget } from "../../../shared/hub/push_target.ts";
import { type ExportPush, type ExportRecord, isEnded, isPushing } from "./export_record.ts";

export const pushBodySchema = z.strictObject({
  /** `org/name`, or a name in the account of the coordinator's token. */
  hub_model_id: z.string().min(1),
  /** Of a repository that the push makes. */
  hub_private_repo: z.boolean().default(true),
  hub_revision: z.string().min(1).default("main"),
});

/**
 * The push to store, or null if the same one is on its way.
 * @param mayBeUnfinished the push waits for its export
 * @throws LoraFleetError `invalid_request` naming the field, `conflict` if the export is unfinished or something else is being
 * pushed to that repository
 */
export function parsePush(
  body: unknown,
  record: ExportRecord,
  others: readonly ExportRecord[],
  mayBeUnfinished = false,
): ExportPush | null {
  const parsed = pushBodySchema.safeParse(body);
  if (!parsed.success) {
    throw explainInput(parsed.error, body, "the push is refused: ", Object.keys(pushBodySchema.shape));
  }
  const { hub_model_id: repo, hub_revision: branch } = parsed.data;
  checkTarget({ repo, branch });
  if (record.status !== "succeeded" && !(mayBeUnfinished && !isEnded(record))) {
    const message = `the export ${quote(record.id)} is ${record.status}; a push needs its files`;
    throw new LoraFleetError("conflict", message, { param: "export_id" });
  }
  const rival = others.find((other) =>
    isPushing(other) && (other.id === record.id || other.push?.hub_model_id === repo)
  );
  if (rival === undefined) return { ...parsed.data, status: "queued", url: null, commit: null, error: null };
  const isSame = rival.id === record.id && rival.push?.hub_model_id === repo &&
    rival.push.hub_revision === branch;
  if (isSame) return null;
  const message = `the export ${quote(rival.id)} is being pushed to ${
    quote(rival.push?.hub_model_id)
  }; wait until it is done`;
  throw new LoraFleetError("conflict", message, { param: "hub_model_id" });
}

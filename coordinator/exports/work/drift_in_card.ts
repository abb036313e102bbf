/** A merge's measured drift: in the record, and in the model card beside the weights. */
import { createHash } from "node:crypto";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { PRIVATE_FILE_MODE } from "../../storage/private_folder.ts";
import { withDrift, withoutDrift } from "../card/drift_section.ts";
import type { ExportServiceOptions } from "./export_context.ts";
import { driftSchema } from "../../../shared/protocol/messages_measure.ts";
import type { ExportRecord } from "../record/export_record.ts";

const CARD = "README.md";

export async function storeDrift(
  { exports }: Pick<ExportServiceOptions, "exports">,
  record: ExportRecord,
  body: unknown,
): Promise<ExportRecord> {
  const parsed = driftSchema.safeParse(body);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const field = issue.code === "unrecognized_keys" ? issue.keys[0]! : issue.path.join(".") || "body";
    const message =
      `the drift is refused: ${field}: ${issue.message}; send what "evaluate --drift" writes as "drift"`;
    throw new LoraFleetError("invalid_request", message, { param: field });
  }
  if (record.status !== "succeeded" || record.request.base === null) {
    const state = record.status === "succeeded" ? `of kind ${quote(record.request.kind)}` : record.status;
    const message = `the export ${quote(record.id)} is ${state}; a merged model that is done has a drift`;
    throw new LoraFleetError("conflict", message, { param: "export_id" });
  }
  return await rewriteCard(exports, record, (card) => withDrift(card, parsed.data), { drift: parsed.data });
}

/** Says in the card of a merge why it has no numbers. */
export async function noteInCard(
  { exports }: Pick<ExportServiceOptions, "exports">,
  record: ExportRecord,
  reason: string,
): Promise<void> {
  await rewriteCard(exports, record, (card) => withoutDrift(card, reason), {});
}

async function rewriteCard(
  exports: ExportServiceOptions["exports"],
  { id }: ExportRecord,
  rewrite: (card: string) => string,
  changes: Pick<Partial<ExportRecord>, "drift">,
): Promise<ExportRecord> {
  const path = `${exports.folderOf(id)}/${CARD}`;
  const bytes = new TextEncoder().encode(rewrite(await Deno.readTextFile(path)));
  await Deno.writeFile(`${path}.new`, bytes, { mode: PRIVATE_FILE_MODE });
  await Deno.rename(`${path}.new`, path);
  const card = { name: CARD, size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
  // Read again: a push may have begun meanwhile, and a deleted export must not come back.
  const now = exports.get(id);
  if (now === null) {
    throw new LoraFleetError("not_found", `the export ${quote(id)} was deleted`, { param: "export_id" });
  }
  const files = now.files.map((file) => file.name === CARD ? card : file);
  const stored = { ...now, files, ...changes };
  exports.put(stored);
  return stored;
}

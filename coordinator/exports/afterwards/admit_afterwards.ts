/** Checks when a job is submitted what can be checked of its exports and its push: they begin hours later. */
import { LoraFleetError } from "../../../shared/errors.ts";
import type { HubSettings } from "../../../shared/hub/hub_settings.ts";
import { assertMayPush } from "../../../shared/hub/push_rights.ts";
import { assertToken, checkTarget } from "../../../shared/hub/push_target.ts";
import type { Afterwards } from "../../job_request/afterwards.ts";
import { parseExportRequest } from "../record/export_request.ts";
import type { ExportServiceOptions } from "../work/export_context.ts";
import { assertPossible } from "../work/possible_export.ts";

/** The result rejects with `invalid_request` naming the field of the job, and with `unauthorized` without a token. */
export function admitAfterwards(
  hub: HubSettings,
  models: ExportServiceOptions["models"],
): (request: Afterwards, model: string) => Promise<void> {
  return async ({ exports, push }, model) => {
    for (const [index, body] of exports.entries()) {
      await at(
        `exports[${index}]`,
        async () => await assertPossible({ models }, model, parseExportRequest(body, 1)),
      );
    }
    if (push === null) return;
    assertToken(hub);
    const { kind, hub_model_id: repo, hub_revision: branch } = push;
    await at("training", async () => {
      checkTarget({ repo: repo ?? "name", branch });
      await assertMayPush(repo ?? "name", hub);
      await assertPossible({ models }, model, { kind });
    });
  };
}

async function at(prefix: string, check: () => Promise<void>): Promise<void> {
  try {
    await check();
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError)) throw thrown;
    const { code, message, param } = thrown;
    // What an export calls `kind` is `hub_kind` among the training's fields.
    const field = prefix === "training" && param === "kind" ? "hub_kind" : param;
    throw new LoraFleetError(code, `${prefix}: ${message}`, { param: `${prefix}.${field}` });
  }
}

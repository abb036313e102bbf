/** Checks when a job is submitted what can be checked of its exports and its push: they begin hours later. */
import { LoraFleetError } from "../../../shared/errors.ts";
import type { HubSettings } from "../../../shared/hub/hub_settings.ts";
import { assertToken, checkTarget } from "../../../shared/hub/push_target.ts";
import type { Afterwards } from "../../job_request/afterwards.ts";
import { parseExportRequest } from "../record/export_request.ts";

/** The result throws `invalid_request` naming the field of the job, and `unauthorized` without a token. */
export function admitAfterwards(hub: HubSettings): (request: Afterwards) => void {
  return ({ exports, push }) => {
    exports.forEach((body, index) => at(`exports[${index}]`, () => parseExportRequest(body, 1)));
    if (push === null) return;
    assertToken(hub);
    const { hub_model_id: repo, hub_revision: branch } = push;
    at("training", () => checkTarget({ repo: repo ?? "name", branch }));
  };
}

function at(prefix: string, check: () => void): void {
  try {
    check();
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError)) throw thrown;
    throw new LoraFleetError(thrown.code, `${prefix}: ${thrown.message}`, {
      param: `${prefix}.${thrown.param}`,
    });
  }
}

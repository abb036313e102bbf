/** What can be known before anything starts: a mistake must not be found after hours of training. */
import { createHash } from "node:crypto";
import { LoraFleetError, quote, usage } from "../../shared/errors.ts";
import type { HubSettings } from "../../shared/hub/hub_settings.ts";
import { assertMayPush } from "../../shared/hub/push_rights.ts";
import { assertToken, checkTarget } from "../../shared/hub/push_target.ts";
import type { JobOptions, TrainOptions } from "./options.ts";

const HUB_DATASET = /^[\w.-]+\/[\w.-]+(@[^@\s]+)?$/;

/** Throws `usage` for rows that are not there. */
export async function checkRows(
  { data, validationPath }: Pick<JobOptions, "data" | "validationPath">,
): Promise<void> {
  const found = await Deno.stat(data).catch(() => null);
  if (found?.isDirectory) {
    throw usage("data", `--data ${quote(data)} is a folder; a file or a dataset's id on the hub is needed`);
  }
  if (found === null && !HUB_DATASET.test(data)) {
    throw usage("data", `--data ${quote(data)} is neither a file nor a dataset's id on the hub`);
  }
  if (validationPath !== null && !await isFile(validationPath)) {
    throw usage("validation", `--validation ${quote(validationPath)} is not a file`);
  }
}

/**
 * Throws `usage` for results that cannot come to be.
 * @param hub as the coordinator that the run starts has it
 */
export async function checkResults(
  { outFolder, pushTo, coordinatorUrl }: Pick<TrainOptions, "outFolder" | "pushTo" | "coordinatorUrl">,
  hub: HubSettings,
): Promise<void> {
  const out = await Deno.stat(outFolder).catch(() => null);
  if (out !== null && !out.isDirectory) {
    throw usage("out", `--out ${quote(outFolder)} is a file; a folder for the results is needed`);
  }
  if (pushTo === null) return;
  try {
    checkTarget({ repo: pushTo });
    // Somebody's coordinator has a token of its own.
    if (coordinatorUrl !== null) return;
    assertToken(hub);
    await assertMayPush(pushTo, hub);
  } catch (thrown) {
    throw thrown instanceof LoraFleetError ? usage("push", `--push: ${thrown.message}`) : thrown;
  }
}

/** SHA-256 of a file's bytes; null for what is no file here. */
export async function contentOf(path: string | null): Promise<string | null> {
  if (path === null || !await isFile(path)) return null;
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  for await (const chunk of file.readable) hash.update(chunk);
  return hash.digest("hex");
}

export async function isFile(path: string): Promise<boolean> {
  return (await Deno.stat(path).catch(() => null))?.isFile === true;
}

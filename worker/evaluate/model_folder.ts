/** `--model` of an evaluation: a folder, or a model of the hub that this machine's cache holds. Nothing is downloaded. */
import { cachedCommit, snapshotFolderOf } from "../../shared/hub/cache.ts";
import { hubCacheFolder } from "../../shared/hub/hub_settings.ts";
import { parseHubName } from "../../shared/hub/repo_name.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";

/**
 * @param model a folder, or `org/name` or `org/name@revision`
 * @throws LoraFleetError `model_not_found` for a model of the hub that the cache lacks
 */
export async function modelFolderOf(model: string, env: (name: string) => string | null): Promise<string> {
  const isFolder = await Deno.stat(model).then(({ isDirectory }) => isDirectory, () => false);
  const name = isFolder ? null : parseHubName(model);
  // What is neither fails where its first file is read.
  if (name === null) return model;
  const hub = { cacheFolder: hubCacheFolder(env), endpoint: "", token: null, offline: true };
  const commit = await cachedCommit(name, hub);
  if (commit !== null) return snapshotFolderOf(name, commit, hub);
  const revision = name.revision === "main" ? "" : ` --revision ${name.revision}`;
  const message =
    `--model ${quote(model)} is no folder, and the hub's cache ${quote(hub.cacheFolder)} does not hold ` +
    `it either; give a folder, or download it first (hf download ${name.repo}${revision})`;
  throw new LoraFleetError("model_not_found", message, { param: "model" });
}

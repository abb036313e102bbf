/** Base models on a hub: which files of a repository training needs, and what to do when the hub is away. */
import { isNamedTemplate, TEMPLATE_FOLDER } from "../../shared/data/tokenizer/files/named_templates.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { type DownloadOptions, type OpenRepo, openRepo } from "../../shared/hub/download_repo.ts";
import { repoError } from "../../shared/hub/hub_error.ts";
import type { RepoName } from "../../shared/hub/repo_name.ts";
import type { RepoFile } from "../../shared/hub/repo_files.ts";
import type { HubOptions } from "../../shared/hub/requests.ts";
import { isSmallFile, selectModelFiles } from "./files.ts";

const INDEX = "model.safetensors.index.json";

/**
 * Downloads the files that training needs and the cache lacks. Returns the snapshot's folder. Throws `model_not_found`,
 * `invalid_model` (no config or weights), `corrupt` (a file differs from what the hub announced), `storage`; and the reason
 * of `signal`.
 */
export async function downloadModel(
  name: RepoName,
  hub: HubOptions,
  { signal, onProgress }: DownloadOptions = {},
): Promise<string> {
  const repo = await openRepo(name, hub, signal);
  if (!repo.isOnline) return await cachedModel(repo, hub);
  let listed: ReadonlyMap<string, RepoFile>;
  try {
    listed = await listModel(repo);
  } catch (thrown) {
    signal?.throwIfAborted();
    return await cachedModel(repo, hub).catch(() => Promise.reject(thrown));
  }
  const needed = await selectModelFiles(
    [...listed.keys()].filter((path) => !path.includes("/")),
    async () => await Deno.readTextFile((await repo.fetch([listed.get(INDEX)!]))[0]!),
  );
  // Small files first: a config that is refused must not cost a download of the weights.
  const sorted = needed.toSorted((a, b) => Number(isSmallFile(b)) - Number(isSmallFile(a)));
  // Named templates are for the coordinator, which prepares the rows; workers do not need them.
  const wanted = [...[...listed.keys()].filter(isNamedTemplate), ...sorted];
  await repo.fetch(wanted.map((path) => listed.get(path)!), onProgress);
  await repo.record();
  return repo.folder;
}

/** Downloads everything but the weights. Returns the snapshot's folder. Throws as `downloadModel`. */
export async function downloadDescription(
  name: RepoName,
  hub: HubOptions,
  { signal, onProgress }: DownloadOptions = {},
): Promise<string> {
  const repo = await openRepo(name, hub, signal);
  if (!repo.isOnline) return repo.folder;
  const listed = await listModel(repo);
  const wanted = [...listed.keys()].filter((path) => isSmallFile(path) || isNamedTemplate(path));
  await repo.fetch(wanted.map((path) => listed.get(path)!), onProgress);
  return repo.folder;
}

/** The repository's own folder and the one with named templates: others may hold thousands of files. */
async function listModel(repo: OpenRepo): Promise<ReadonlyMap<string, RepoFile>> {
  const { files, folders } = await repo.list();
  if (!folders.includes(TEMPLATE_FOLDER)) return files;
  return new Map([...files, ...(await repo.list(TEMPLATE_FOLDER)).files]);
}

/** A snapshot without a hub: a download that was interrupted is no base model. */
async function cachedModel({ name, folder }: OpenRepo, hub: HubOptions): Promise<string> {
  try {
    const names = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
    await selectModelFiles(names, () => Deno.readTextFile(`${folder}/${INDEX}`));
    return folder;
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError || thrown instanceof Deno.errors.NotFound)) throw thrown;
    const why = hub.offline ? "HF_HUB_OFFLINE is set" : `${hub.endpoint} does not answer`;
    const message = `base model ${quote(name.repo)} is in the cache in part (${
      messageOf(thrown)
    }), and ${why}`;
    throw repoError(name.type, message, thrown);
  }
}

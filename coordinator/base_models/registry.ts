/**
 * Finds a job's base model, below one of the model roots or on a hub. From then on its manifest's hash identifies it, by
 * which workers fetch its files.
 */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import { isSmallFile, manifestOf, selectModelFiles } from "./files.ts";
import type { HashCache } from "../../shared/model/hash_cache.ts";
import type { DownloadOptions } from "../../shared/hub/download_repo.ts";
import { HubRefusal, isGated } from "../../shared/hub/hub_error.ts";
import { findCommit } from "../../shared/hub/repo_files.ts";
import { parseHubName, type RepoName } from "../../shared/hub/repo_name.ts";
import type { HubOptions } from "../../shared/hub/requests.ts";
import { HASTY } from "../../shared/hub/retry_delay.ts";
import { downloadDescription, downloadModel } from "./hub_model.ts";
import { createModelRoots, type ListedModel, type ModelRoots } from "./model_roots.ts";

export interface ResolvedModel {
  readonly folder: string;
  /** Whether the job names it as on a hub, so that it may just have been downloaded. */
  readonly isFromHub?: boolean;
  readonly manifest: ModelManifest;
}

export interface ModelRegistry {
  /**
   * Checks quickly that a base model exists; `folder` is null if a hub has it. Throws a `LoraFleetError` with code
   * `model_not_found` that lists what was tried.
   */
  check(model: string): Promise<{ readonly folder: string | null }>;
  /** Downloads what is missing and hashes every file. Throws like `check`, and `invalid_model`, `corrupt`, `storage`. */
  resolve(model: string, options?: DownloadOptions): Promise<ResolvedModel>;
  /**
   * What a plan needs: config and tokenizer, downloaded if necessary, and a manifest without the weights, which may be missing.
   * Throws like `resolve`.
   */
  describe(model: string, options?: DownloadOptions): Promise<ResolvedModel>;
  /** A base model that this process has resolved. Throws `not_found`. */
  byHash(hash: string): ResolvedModel;
  /** The base models below the roots, as `check` takes them. */
  list(): Promise<readonly ListedModel[]>;
}

interface ModelRegistryOptions {
  /** Earlier ones win. */
  readonly roots: readonly string[];
  readonly hub: HubOptions;
  readonly hashes: HashCache;
}

/** Remembers what it resolved until its process ends. */
export function createModelRegistry({ roots, hub, hashes }: ModelRegistryOptions): ModelRegistry {
  const resolved = new Map<string, ResolvedModel>();
  const modelRoots = createModelRoots(roots, hub.cacheFolder);

  return {
    async check(model) {
      const located = await locate(model, modelRoots, { ...hub, patience: { ...HASTY, ...hub.patience } });
      return { folder: "folder" in located ? located.folder : null };
    },

    async resolve(model, options = {}) {
      const { signal } = options;
      const located = await locate(model, modelRoots, hub, signal);
      const isFromHub = !("folder" in located);
      const folder = isFromHub ? await downloadModel(located.hubName, hub, options) : located.folder;
      try {
        const found = { folder, isFromHub, manifest: await readManifest(folder, modelRoots, hashes, signal) };
        resolved.set(found.manifest.hash, found);
        return found;
      } catch (thrown) {
        if (!(thrown instanceof LoraFleetError)) throw thrown;
        const message = `base model ${quote(model)}: ${thrown.message}`;
        throw new LoraFleetError(thrown.code, message, { param: "model", cause: thrown });
      }
    },

    async describe(model, options = {}) {
      const located = await locate(model, modelRoots, hub, options.signal);
      const isFromHub = !("folder" in located);
      const folder = isFromHub ? await downloadDescription(located.hubName, hub, options) : located.folder;
      const names = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
      const manifest = await manifestOfFiles(folder, names.filter(isSmallFile).sort(), modelRoots, hashes);
      return { folder, isFromHub, manifest };
    },

    byHash(hash) {
      const found = resolved.get(hash);
      if (found !== undefined) return found;
      const message = `no job of this coordinator uses a base model with hash ${quote(hash)}`;
      throw new LoraFleetError("not_found", message, { param: "hash" });
    },

    list: modelRoots.list,
  };
}

/** Throws `model_not_found` that lists what was tried. */
async function locate(
  model: string,
  modelRoots: ModelRoots,
  hub: HubOptions,
  signal?: AbortSignal,
): Promise<{ readonly folder: string } | { readonly hubName: RepoName }> {
  const located = await modelRoots.locate(model);
  if ("folder" in located) return located;
  const tried = new Set(located.tried);
  const hubName = parseHubName(model);
  if (hubName === null) tried.add("no hub, because the name is not org/name or org/name@revision");
  else {
    try {
      await findCommit(hubName, hub, signal);
      return { hubName };
    } catch (thrown) {
      signal?.throwIfAborted();
      if (isThere(thrown)) throw thrown;
      tried.add(`${hub.endpoint}/${hubName.repo} (${messageOf(thrown)})`);
    }
  }
  const message = `no base model ${quote(model)}; tried: ${[...tried].join("; ")}`;
  throw new LoraFleetError("model_not_found", message, { param: "model" });
}

/** Whether the hub has the repository, and something else is wrong: its licence, or the revision. */
function isThere(thrown: unknown): boolean {
  if (isGated(thrown)) return true;
  const cause = thrown instanceof LoraFleetError ? thrown.cause : null;
  return cause instanceof HubRefusal && cause.code === "RevisionNotFound";
}

async function readManifest(
  folder: string,
  modelRoots: ModelRoots,
  hashes: HashCache,
  signal?: AbortSignal,
): Promise<ModelManifest> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  const readIndex = () => Deno.readTextFile(`${folder}/model.safetensors.index.json`);
  return await manifestOfFiles(folder, await selectModelFiles(names, readIndex), modelRoots, hashes, signal);
}

async function manifestOfFiles(
  folder: string,
  names: readonly string[],
  modelRoots: ModelRoots,
  hashes: HashCache,
  signal?: AbortSignal,
): Promise<ModelManifest> {
  const files: ModelManifest["files"] = [];
  for (const name of names) {
    const path = await modelRoots.realFile(`${folder}/${name}`);
    if (path === null) {
      const message = `${quote(name)} is a link to nowhere or out of the model roots`;
      throw new LoraFleetError("invalid_model", message);
    }
    files.push({ name, ...await hashes.hash(path, signal) });
  }
  return manifestOf(files);
}

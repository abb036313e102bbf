/**
 * Finds a job's base model, below one of the model roots or on a hub. From then on its manifest's hash identifies it, by
 * which workers fetch its files.
 */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import { manifestOf, selectModelFiles } from "./files.ts";
import type { HashCache } from "../../shared/model/hash_cache.ts";
import { findHubCommit, type HubOptions } from "./hub_api.ts";
import { downloadFromHub } from "./hub_download.ts";
import { type HubName, parseHubName } from "./hub_name.ts";
import { createModelRoots, type ListedModel, type ModelRoots } from "./model_roots.ts";

export interface ResolvedModel {
  readonly folder: string;
  /** Whether the job names it as on a hub, so that it may just have been downloaded. */
  readonly isFromHub?: boolean;
  readonly manifest: ModelManifest;
}

interface ResolveOptions {
  readonly signal?: AbortSignal;
  /** Called before each file that has to be downloaded. */
  readonly onDownload?: (file: string) => void;
}

export interface ModelRegistry {
  /**
   * Checks quickly that a base model exists; `folder` is null if a hub has it. Throws a `LoraFleetError` with code
   * `model_not_found` that lists what was tried.
   */
  check(model: string): Promise<{ readonly folder: string | null }>;
  /** Downloads what is missing and hashes every file. Throws like `check`, and `invalid_model`, `corrupt`, `storage`. */
  resolve(model: string, options?: ResolveOptions): Promise<ResolvedModel>;
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
      const located = await locate(model, modelRoots, hub);
      return { folder: "folder" in located ? located.folder : null };
    },

    async resolve(model, { signal, onDownload } = {}) {
      const located = await locate(model, modelRoots, hub);
      const isFromHub = !("folder" in located);
      const folder = isFromHub
        ? await downloadFromHub(located.hubName, hub, onDownload ?? (() => {}), signal)
        : located.folder;
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
): Promise<{ readonly folder: string } | { readonly hubName: HubName }> {
  const located = await modelRoots.locate(model);
  if ("folder" in located) return located;
  const tried = new Set(located.tried);
  const hubName = parseHubName(model);
  if (hubName === null) tried.add("no hub, because the name is not org/name or org/name@revision");
  else {
    try {
      await findHubCommit(hubName, hub);
      return { hubName };
    } catch (thrown) {
      tried.add(`${hub.endpoint}/${hubName.repo} (${messageOf(thrown)})`);
    }
  }
  const message = `no base model ${quote(model)}; tried: ${[...tried].join("; ")}`;
  throw new LoraFleetError("model_not_found", message, { param: "model" });
}

async function readManifest(
  folder: string,
  modelRoots: ModelRoots,
  hashes: HashCache,
  signal?: AbortSignal,
): Promise<ModelManifest> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  const readIndex = () => Deno.readTextFile(`${folder}/model.safetensors.index.json`);
  const files: ModelManifest["files"] = [];
  for (const name of await selectModelFiles(names, readIndex)) {
    const path = await modelRoots.realFile(`${folder}/${name}`);
    if (path === null) {
      const message = `${quote(name)} is a link to nowhere or out of the model roots`;
      throw new LoraFleetError("invalid_model", message);
    }
    files.push({ name, ...await hashes.hash(path, signal) });
  }
  return manifestOf(files);
}

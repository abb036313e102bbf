/**
 * Finds a job's base model, in a folder below one of the model roots or on a hub, and knows it by its manifest from
 * then on: workers fetch its files by that hash.
 */
import { isAbsolute, join, normalize, resolve } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import { manifestOf, selectModelFiles } from "./files.ts";
import type { HashCache } from "./files.ts";
import { downloadFromHub, findHubCommit, parseHubName } from "./hub.ts";
import type { HubOptions } from "./hub.ts";

export interface ResolvedModel {
  readonly folder: string;
  /** Whether the job names it by its hub's name, so that it may have been downloaded just now. */
  readonly isFromHub?: boolean;
  readonly manifest: ModelManifest;
}

export interface ResolveOptions {
  readonly signal?: AbortSignal;
  /** Told before each file that has to be downloaded. */
  readonly onDownload?: (file: string) => void;
}

export interface ModelRegistry {
  /**
   * Whether the name leads somewhere, quickly; `folder` is null where a hub has it. Throws a `LoraFleetError` with code
   * `model_not_found` that lists what was tried.
   */
  check(model: string): Promise<{ readonly folder: string | null }>;
  /** Downloads what is missing and hashes every file. Throws as `check`, and `invalid_model`, `corrupt`, `storage`. */
  resolve(model: string, options?: ResolveOptions): Promise<ResolvedModel>;
  /** A base model that was resolved since the coordinator started. Throws `not_found`. */
  byHash(hash: string): ResolvedModel;
  /** Folders with a config.json at most two levels below the model roots, as `check` takes them. */
  list(): Promise<readonly { readonly name: string; readonly modifiedAt: number }[]>;
}

export interface ModelRegistryOptions {
  /** Local base models lie below these; earlier ones win. */
  readonly roots: readonly string[];
  readonly hub: HubOptions;
  readonly hashes: HashCache;
}

type Located = { readonly folder: string } | {
  readonly hubName: NonNullable<ReturnType<typeof parseHubName>>;
};

/** A registry that remembers what it resolved until its process ends. */
export function createModelRegistry({ roots, hub, hashes }: ModelRegistryOptions): ModelRegistry {
  const resolved = new Map<string, ResolvedModel>();

  /** Real paths that a base model's files may have; a root that is not there holds nothing. */
  const realRoots = async (): Promise<readonly string[]> =>
    (await Promise.all([...roots, hub.cacheFolder].map((root) => Deno.realPath(root).catch(() => null))))
      .filter((root) => root !== null);

  const isInside = (path: string, folders: readonly string[]) =>
    folders.some((folder) => path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`));

  const locate = async (model: string): Promise<Located> => {
    const tried: string[] = [];
    const absoluteRoots = roots.map((root) => resolve(root));
    const candidates = isAbsolute(model)
      ? [normalize(model).replace(/(.)\/$/, "$1")]
      : absoluteRoots.map((root) => join(root, model));
    for (const candidate of candidates) {
      // What lies outside is not even looked at, so that answers say nothing about it.
      if (!isInside(candidate, absoluteRoots)) {
        // Nor does it say where the roots lie.
        tried.push(`${model} (outside of the model roots)`);
        continue;
      }
      const folder = await Deno.realPath(candidate).catch(() => null);
      if (folder === null) tried.push(`${candidate} (no such folder)`);
      else if (!isInside(folder, await realRoots())) {
        tried.push(`${candidate} (a link out of the model roots)`);
      } else if (!await isFile(`${folder}/config.json`)) tried.push(`${candidate} (no config.json in it)`);
      else return { folder };
    }
    const hubName = parseHubName(model);
    if (hubName !== null) {
      try {
        await findHubCommit(hubName, hub);
        return { hubName };
      } catch (thrown) {
        tried.push(`${hub.endpoint}/${hubName.repo} (${messageOf(thrown)})`);
      }
    } else tried.push("no hub, because the name is not org/name or org/name@revision");
    throw new LoraFleetError(
      "model_not_found",
      `no base model ${quote(model)}; tried: ${[...new Set(tried)].join("; ")}`,
      {
        param: "model",
      },
    );
  };

  const manifest = async (folder: string, signal?: AbortSignal): Promise<ModelManifest> => {
    const names = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
    const selected = await selectModelFiles(
      names,
      () => Deno.readTextFile(`${folder}/model.safetensors.index.json`),
    );
    const allowed = await realRoots();
    const files: ModelManifest["files"] = [];
    for (const name of selected) {
      const path = await Deno.realPath(`${folder}/${name}`).catch(() => null);
      if (path === null || !isInside(path, allowed)) {
        throw new LoraFleetError(
          "invalid_model",
          `${quote(name)} is a link to nowhere or out of the model roots`,
        );
      }
      files.push({ name, ...await hashes.hash(path, signal) });
    }
    return manifestOf(files);
  };

  return {
    async check(model) {
      const located = await locate(model);
      return { folder: "folder" in located ? located.folder : null };
    },

    async resolve(model, { signal, onDownload } = {}) {
      const located = await locate(model);
      const folder = "folder" in located
        ? located.folder
        : await downloadFromHub(located.hubName, hub, onDownload ?? (() => {}), signal);
      try {
        const isFromHub = !("folder" in located);
        const found = { folder, isFromHub, manifest: await manifest(folder, signal) };
        resolved.set(found.manifest.hash, found);
        return found;
      } catch (thrown) {
        if (!(thrown instanceof LoraFleetError)) throw thrown;
        throw new LoraFleetError(thrown.code, `base model ${quote(model)}: ${thrown.message}`, {
          param: "model",
          cause: thrown,
        });
      }
    },

    byHash(hash) {
      const found = resolved.get(hash);
      if (found !== undefined) return found;
      throw new LoraFleetError(
        "not_found",
        `no job of this coordinator uses a base model with hash ${quote(hash)}`,
        {
          param: "hash",
        },
      );
    },

    async list() {
      const found = new Map<string, number>();
      for (const root of roots) {
        for (const name of await foldersBelow(root, 2)) {
          const config = await Deno.stat(join(root, name, "config.json")).catch(() => null);
          if (config?.isFile === true && !found.has(name)) found.set(name, config.mtime?.getTime() ?? 0);
        }
      }
      return [...found].map(([name, modifiedAt]) => ({ name, modifiedAt })).sort((a, b) =>
        a.name < b.name ? -1 : 1
      );
    },
  };
}

async function foldersBelow(root: string, levels: number): Promise<string[]> {
  if (levels === 0) return [];
  const entries = await Array.fromAsync(Deno.readDir(root)).catch(() => []);
  const names = entries
    .filter(({ name, isDirectory }) => isDirectory && !name.startsWith(".") && name !== "node_modules")
    .map(({ name }) => name);
  const deeper = await Promise.all(
    names.map(async (name) =>
      (await foldersBelow(join(root, name), levels - 1)).map((below) => `${name}/${below}`)
    ),
  );
  return [...names, ...deeper.flat()];
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then((stat) => stat.isFile, () => false);
}

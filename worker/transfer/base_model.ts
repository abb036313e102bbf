/**
 * Finds the base model of a job: in the coordinator's folder if that is on this machine's disk, else in this machine's caches
 * (the hub's and our own), else by download: from the hub if the coordinator got it there, and from the coordinator if that
 * fails.
 */
import { join } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { createHashCache, type HashCache } from "../../shared/model/hash_cache.ts";
import type { HubOptions } from "../../shared/hub/requests.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import type { Runtime } from "../async/runtime.ts";
import { announcedFolder } from "./announced_folder.ts";
import { downloadFile } from "./download.ts";
import type { CoordinatorApi, Fetch } from "./http.ts";
import { downloadFromHub, hubNameOf, localSnapshot } from "./hub_model.ts";
import { fileProblem, folderProblem } from "./manifest_check.ts";

interface BaseModelOptions extends Runtime {
  readonly cacheFolder: string;
  readonly hub: HubOptions;
  readonly fetch: Fetch;
}

type NeededModel = Pick<JobAnnouncement, "model" | "modelFolder">;

export class BaseModels {
  readonly #options: BaseModelOptions;
  readonly #hashes: HashCache;

  constructor(options: BaseModelOptions) {
    this.#options = options;
    this.#hashes = createHashCache(join(options.cacheFolder, "hashes.json"));
  }

  /** A folder with the manifest's files, each compared with it, and nothing else. Errors name the file. */
  async find(api: CoordinatorApi, needed: NeededModel, signal: AbortSignal): Promise<string> {
    const { model } = needed;
    const near = await this.#announcedFolder(model, needed.modelFolder, signal);
    if (near !== null) return near;
    const folder = join(this.#options.cacheFolder, "models", model.hash);
    await onDisk(folder, () => Deno.mkdir(folder, { recursive: true }));
    using _mine = await this.#lock(`${folder}.lock`, signal);
    if (await folderProblem(this.#hashes, folder, model.files, signal) === null) return folder;
    const fromHub = await this.#fromHub(needed, signal);
    if (fromHub !== null) return fromHub;
    for (const file of model.files) {
      const path = join(folder, file.name);
      const problem = await fileProblem(this.#hashes, path, file, signal);
      if (problem === null) continue;
      this.#options.log("info", `${problem}: downloading its ${file.size} bytes from ${api.httpUrl}`);
      const url = `${api.httpUrl}/v1/base-models/${model.hash}/files/${encodeURIComponent(file.name)}`;
      await downloadFile({ ...this.#options, file, path, signal, url, token: api.token });
      await this.#hashes.remember(path, file.sha256);
    }
    return folder;
  }

  /** `folder` if it holds the manifest's files, or links to them; null if it does not. */
  async #announcedFolder(model: ModelManifest, folder: string, signal: AbortSignal): Promise<string | null> {
    const { cacheFolder, log } = this.#options;
    try {
      return await announcedFolder(model, folder, cacheFolder, this.#hashes, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      log("warn", `cannot use ${quote(folder)} here: ${messageOf(thrown)}`);
      return null;
    }
  }

  /** Null if the hub does not have the files or does not answer; the coordinator has them in any case. */
  async #fromHub({ model, modelFolder }: NeededModel, signal: AbortSignal): Promise<string | null> {
    const { hub, log } = this.#options;
    const name = hubNameOf(modelFolder);
    if (name === null) return null;
    const snapshot = localSnapshot(name, hub);
    const cached = await this.#announcedFolder(model, snapshot, signal);
    if (cached !== null || hub.offline) return cached;
    try {
      await downloadFromHub(name, model, hub, this.#options, this.#hashes, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      if (thrown instanceof LoraFleetError && thrown.code === "storage") throw thrown;
      log("warn", `not from the hub: ${messageOf(thrown)}`);
      return null;
    }
    return await this.#announcedFolder(model, snapshot, signal);
  }

  /** Several workers of a machine share the cache: one downloads, the others find its files. */
  async #lock(path: string, signal: AbortSignal): Promise<Disposable> {
    const { clock, limits, log } = this.#options;
    const file = await onDisk(path, () => Deno.open(path, { create: true, write: true }));
    try {
      for (let isLogged = false; !await file.tryLock(true); isLogged = true) {
        if (!isLogged) log("info", "a different worker on this machine is downloading the base model");
        await clock.sleep(limits.retryIntervalMs, signal);
      }
    } catch (thrown) {
      file.close();
      signal.throwIfAborted();
      throw thrown;
    }
    // Closing the file releases the lock, however the process ends.
    return file;
  }
}

async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const message = `cannot write ${quote(path)}: ${messageOf(thrown)}`;
    throw new LoraFleetError("storage", message, { param: path, cause: thrown });
  }
}

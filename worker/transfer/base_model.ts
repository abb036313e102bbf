/**
 * Finds the base model of a job: where the coordinator has it, if that is this machine's disk, too; else in
 * the cache; else it is downloaded, from the hub where the coordinator has it from there, and from the
 * coordinator where that fails. Whatever the way, every file is compared with the manifest, and the folder
 * holds nothing else.
 */
import { dirname, join } from "@std/path";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { Limits } from "../../shared/protocol/limits.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages.ts";
import { downloadFile, type DownloadOptions } from "./download.ts";
import { createHashCache, folderProblem, hasOtherFiles } from "./file_hashes.ts";
import type { HubSettings } from "../../shared/model/hub_settings.ts";
import { hubUrl } from "./hub_url.ts";
import type { Fetch, JoinReply } from "../fleet/join.ts";
import type { Log } from "../../shared/log.ts";

export interface BaseModelOptions {
  readonly cacheFolder: string;
  readonly hub: HubSettings;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
}

/** Another source is there, so that a hub that does not answer is not waited for. */
const HUB_TRIES = 2;

export type NeededModel = Pick<JobAnnouncement, "model" | "modelFolder">;

export interface BaseModels {
  /** A folder with the manifest's files and nothing else. Errors name the file. */
  find(
    source: Pick<JoinReply, "httpUrl" | "token">,
    needed: NeededModel,
    signal: AbortSignal,
  ): Promise<string>;
}

export function createBaseModels(
  { cacheFolder, hub, fetch, clock, limits, log }: BaseModelOptions,
): BaseModels {
  const hashes = createHashCache(join(cacheFolder, "hashes.json"));

  async function find(
    source: Pick<JoinReply, "httpUrl" | "token">,
    { model, modelFolder }: NeededModel,
    signal: AbortSignal,
  ): Promise<string> {
    const near = await announcedFolder(model, modelFolder, signal);
    if (near !== null) return near;
    const folder = join(cacheFolder, "models", model.hash);
    await onDisk(folder, () => Deno.mkdir(folder, { recursive: true }));
    using _mine = await lock(`${folder}.lock`, signal);
    for (const file of model.files) {
      const path = join(folder, file.name);
      const problem = await hashes.problem(path, file, signal);
      if (problem === null) continue;
      const common = { file, path, fetch, clock, limits, signal, log };
      const fromHub = hubUrl(modelFolder, file.name, hub);
      if (
        fromHub === null ||
        !await isDownloaded({
          ...common,
          url: fromHub,
          token: hub.token,
          mayRedirect: true,
          tries: HUB_TRIES,
        })
      ) {
        log("info", `${problem}: downloading its ${file.size} bytes from ${source.httpUrl}`);
        const url = `${source.httpUrl}/v1/base-models/${model.hash}/files/${encodeURIComponent(file.name)}`;
        await downloadFile({ ...common, url, token: source.token });
      }
      await hashes.remember(path, file.sha256);
    }
    return folder;
  }

  /** Whether the hub has given the file; the coordinator has it in any case. */
  async function isDownloaded(download: DownloadOptions): Promise<boolean> {
    log(
      "info",
      `downloading ${quote(download.file.name)}, ${download.file.size} bytes, from ${hub.endpoint}`,
    );
    try {
      await downloadFile(download);
      return true;
    } catch (thrown) {
      download.signal.throwIfAborted();
      if (thrown instanceof LoraFleetError && thrown.code === "storage") throw thrown;
      log("warn", `not from the hub: ${messageOf(thrown)}`);
      return false;
    }
  }

  /** The folder that the coordinator names, or one of links into it; null where it does not hold the base model. */
  async function announcedFolder(
    { hash, files }: NeededModel["model"],
    folder: string,
    signal: AbortSignal,
  ): Promise<string | null> {
    try {
      const isThere = await Deno.stat(folder).then(({ isDirectory }) => isDirectory, () => false);
      if (!isThere || await folderProblem(hashes, folder, files, signal) !== null) return null;
      if (!await hasOtherFiles(folder, files)) return folder;
      // Other weights in the folder could be taken for this base model's.
      const links = join(cacheFolder, "links", hash);
      await Deno.mkdir(dirname(links), { recursive: true });
      const fresh = `${links}.${crypto.randomUUID()}`;
      await Deno.mkdir(fresh);
      for (const { name } of files) {
        await Deno.symlink(join(await Deno.realPath(folder), name), join(fresh, name));
      }
      await Deno.remove(links, { recursive: true }).catch(() => {});
      await Deno.rename(fresh, links);
      return links;
    } catch (thrown) {
      signal.throwIfAborted();
      log("warn", `${quote(folder)} is of no use here: ${messageOf(thrown)}`);
      return null;
    }
  }

  /** Several workers of a machine share the cache: one downloads, the others find its files. */
  async function lock(path: string, signal: AbortSignal): Promise<Disposable> {
    const file = await onDisk(path, () => Deno.open(path, { create: true, write: true }));
    try {
      for (let said = false; !await file.tryLock(true); said = true) {
        if (!said) log("info", "another worker on this machine is downloading the base model");
        await clock.sleep(limits.retryIntervalMs, signal);
      }
    } catch (thrown) {
      file.close();
      signal.throwIfAborted();
      throw thrown;
    }
    // The lock goes with the file, whatever way the process ends.
    return file;
  }

  return { find };
}

async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw new LoraFleetError("storage", `cannot write ${quote(path)}: ${messageOf(thrown)}`, {
      param: path,
      cause: thrown,
    });
  }
}

/** A base model's files from the hub, if the coordinator got them there: into the cache that this machine's tools share. */
import { join } from "@std/path";
import { openRepo } from "../../shared/hub/download_repo.ts";
import { paceProgress } from "../../shared/hub/progress.ts";
import type { RepoFile } from "../../shared/hub/repo_files.ts";
import { cacheNameOf, type RepoName, snapshotOf } from "../../shared/hub/repo_name.ts";
import type { HubOptions } from "../../shared/hub/requests.ts";
import { HASTY } from "../../shared/hub/retry_delay.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { HashCache } from "../../shared/model/hash_cache.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import type { Runtime } from "../async/runtime.ts";

/** Between two lines about a download. */
const PROGRESS_EVERY_MS = 10_000;

/** The repository at the commit that the coordinator has; null if its folder is no snapshot of the hub's. */
export function hubNameOf(modelFolder: string): RepoName | null {
  const snapshot = snapshotOf(modelFolder);
  return snapshot === null ? null : { type: "model", repo: snapshot.repo, revision: snapshot.commit };
}

/** Where this machine's hub cache keeps it, downloaded or not. */
export function localSnapshot(name: RepoName, hub: HubOptions): string {
  return join(hub.cacheFolder, cacheNameOf(name), "snapshots", name.revision);
}

/** Downloads the manifest's files that the cache lacks. Rejects if the hub does not answer or has different files. */
export async function downloadFromHub(
  name: RepoName,
  { files }: ModelManifest,
  hub: HubOptions,
  { clock, log }: Runtime,
  hashes: HashCache,
  signal: AbortSignal,
): Promise<void> {
  // The coordinator has the files as well, so a hub that does not answer is not waited for.
  const repo = await openRepo(name, { ...hub, patience: { ...HASTY, ...hub.patience } }, signal);
  const { files: listed } = await repo.list();
  const wanted = files.map((file): RepoFile => {
    const there = listed.get(file.name);
    if (there !== undefined && there.size === file.size && (there.sha256 ?? file.sha256) === file.sha256) {
      return there;
    }
    const message = `${quote(file.name)} of ${quote(name.repo)} is not the base model's on ${hub.endpoint}`;
    throw new LoraFleetError("corrupt", message, { param: file.name });
  });
  const what = `${name.repo} from ${hub.endpoint}`;
  const report = (message: string) => log("info", message.replace(/\.$/, ""));
  const paths = await repo.fetch(wanted, paceProgress({ clock, everyMs: PROGRESS_EVERY_MS, what, report }));
  // Their bytes were hashed as they arrived.
  for (const [index, { sha256 }] of wanted.entries()) {
    if (sha256 !== null) await hashes.remember(paths[index]!, sha256);
  }
}

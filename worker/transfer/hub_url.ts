/** The hub as a source of a base model's files, if the coordinator got the base model there. */
import type { HubSettings } from "../../shared/model/hub_settings.ts";

/** A snapshot folder of huggingface_hub's cache: owner, name and commit. */
const SNAPSHOT = /(?:^|[\\/])models--([\w.-]+?)--([\w.-]+)[\\/]snapshots[\\/]([0-9a-f]{40})[\\/]?$/;

/**
 * The hub's URL of a file in the coordinator's `modelFolder`, at the same commit; null if that folder is no snapshot of the
 * hub's, or the hub is off limits.
 */
export function hubUrl(modelFolder: string, fileName: string, hub: HubSettings): string | null {
  const [, owner, name, commit] = SNAPSHOT.exec(modelFolder) ?? [];
  if (hub.offline || commit === undefined) return null;
  return `${hub.endpoint}/${owner}/${name}/resolve/${commit}/${encodeURIComponent(fileName)}`;
}

/** The hub as a source of a base model's files, where the coordinator has the base model from there, too. */
import type { HubSettings } from "../../shared/model/hub_settings.ts";

/** The hub's cache as huggingface_hub lays it out: what comes from there, and from which commit. */
const SNAPSHOT = /(?:^|[\\/])models--([\w.-]+?)--([\w.-]+)[\\/]snapshots[\\/]([0-9a-f]{40})[\\/]?$/;

/**
 * Where the hub has a file of the base model in the coordinator's `modelFolder`, of the same commit; null where that folder is
 * no snapshot of the hub's, or the hub is not to be asked.
 */
export function hubUrl(modelFolder: string, fileName: string, hub: HubSettings): string | null {
  const [, owner, name, commit] = SNAPSHOT.exec(modelFolder) ?? [];
  if (hub.offline || commit === undefined) return null;
  return `${hub.endpoint}/${owner}/${name}/resolve/${commit}/${encodeURIComponent(fileName)}`;
}

/** Names of base models on a hub. */

export interface HubName {
  /** `org/name`. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

/** Reads `org/name` or `org/name@revision`; null for anything else. */
export function parseHubName(model: string): HubName | null {
  const match = /^([A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95})(?:@([A-Za-z0-9][\w.-]{0,99}))?$/.exec(
    model,
  );
  if (match === null || model.includes("..")) return null;
  return { repo: match[1]!, revision: match[2] ?? "main" };
}

/** A snapshot's folder in the hub's cache. */
const SNAPSHOT = /\/models--([\w.-]+?)--([\w.-]+)\/snapshots\/[0-9a-f]{40}\/?$/;

/** The `org/name` of a snapshot's folder; null for any other folder. */
export function hubRepoOf(folder: string): string | null {
  const [, owner, name] = SNAPSHOT.exec(folder) ?? [];
  return owner === undefined ? null : `${owner}/${name}`;
}

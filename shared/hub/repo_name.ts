/** Names of repositories on a hub, and the places that follow from them. */

export type RepoType = "model" | "dataset";

export interface RepoName {
  readonly type: RepoType;
  /** `org/name`. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

const REPO = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/;
/** `refs/pr/1` has slashes. */
const REVISION = /^[A-Za-z0-9][\w./-]{0,99}$/;

export function isRepoId(text: string): boolean {
  return REPO.test(text) && !text.includes("..");
}

export function isRevision(text: string): boolean {
  return REVISION.test(text) && !text.includes("..") && !text.includes("//") && !text.endsWith("/");
}

export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

/** Reads a model's `org/name` or `org/name@revision`; null for anything else. */
export function parseHubName(model: string): RepoName | null {
  const [repo, revision, ...rest] = model.split("@");
  if (!isRepoId(repo!) || rest.length > 0) return null;
  if (revision !== undefined && !isRevision(revision)) return null;
  return { type: "model", repo: repo!, revision: revision ?? "main" };
}

/** Behind the endpoint: `org/name` or `datasets/org/name`. */
export function pathOf({ type, repo }: RepoName): string {
  return type === "model" ? repo : `datasets/${repo}`;
}

/** Of the repository in the hub's API. */
export function apiPathOf({ type, repo }: RepoName): string {
  return `api/${type}s/${repo}`;
}

/** The repository's folder in the cache. */
export function cacheNameOf({ type, repo }: RepoName): string {
  return `${type}s--${repo.replace("/", "--")}`;
}

/** A snapshot's folder in the hub's cache: owner, name and commit. */
const SNAPSHOT = /(?:^|[\\/])models--([\w.-]+?)--([\w.-]+)[\\/]snapshots[\\/]([0-9a-f]{40})[\\/]?$/;

/** The repository and the commit of a model's snapshot folder; null for any other folder. */
export function snapshotOf(folder: string): { readonly repo: string; readonly commit: string } | null {
  const [, owner, name, commit] = SNAPSHOT.exec(folder) ?? [];
  return commit === undefined ? null : { repo: `${owner}/${name}`, commit };
}

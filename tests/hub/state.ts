/** What a hub holds, and who may do what with it. */
import { createHash } from "node:crypto";
import { type HubAccount, refuse } from "./answers.ts";
import type { HubContent } from "./content.ts";
import { HubRepo, type RepoType } from "./repos.ts";

export interface HubState {
  readonly endpoint: string;
  readonly cdn: string;
  readonly accounts: ReadonlyMap<string, HubAccount>;
  readonly repos: Map<string, HubRepo>;
  /** The LFS storage: SHA-256 → content. Uploaded objects wait here for the commit that names them. */
  readonly objects: Map<string, HubContent>;
  /** Parts of multipart uploads: `sha256/number` → bytes. */
  readonly parts: Map<string, Uint8Array<ArrayBuffer>>;
  /** Files of at least this size are uploaded in parts of this size. */
  readonly partBytes: number;
  /** Entries in a page of a tree. */
  readonly pageSize: number;
  /** Whether what belongs in LFS lies in xet's storage, which has a bridge for clients that know LFS alone. */
  readonly isXet: boolean;
}

/** One request with what its path names. */
export interface HubRequest {
  readonly request: Request;
  readonly url: URL;
  readonly account: HubAccount | null;
  /** The path's parts, decoded. */
  readonly parts: Readonly<Record<string, string>>;
}

export const repoKey = (type: RepoType, id: string) => `${type}s/${id}`;

/** Null without a token. Throws 401 for one that nobody has. */
export function accountOf(state: HubState, request: Request): HubAccount | null {
  const token = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  if (token === undefined) return null;
  const account = state.accounts.get(token);
  if (account === undefined) throw refuse.wrongToken();
  return account;
}

export function repoOf(state: HubState, { parts, account }: HubRequest): HubRepo {
  const type = parts["type"] === "datasets" ? "dataset" : "model";
  const repo = state.repos.get(repoKey(type, parts["id"]!));
  if (repo === undefined || (repo.isPrivate && !isOwner(account, repo.id))) throw refuse.repo(account);
  return repo;
}

export function commitOf(repo: HubRepo, revision: string): string {
  const commit = repo.resolve(revision);
  if (commit === null) throw refuse.revision(revision);
  return commit;
}

/** Files of gated repositories need an accepted licence; their metadata is open. */
export function assertMayRead(state: HubState, repo: HubRepo, account: HubAccount | null): void {
  if (repo.gated === false || isOwner(account, repo.id) || account?.licences.includes(repo.id)) return;
  throw refuse.gated(repo, account, state.endpoint);
}

export function assertMayWrite(account: HubAccount | null, id: string): void {
  if (account === null) throw refuse.noToken();
  if (account.role !== "write" || !isOwner(account, id)) throw refuse.forbidden(`write to ${id}`);
}

export function isOwner(account: HubAccount | null, id: string): boolean {
  const owner = id.split("/")[0]!;
  return account !== null && (account.name === owner || account.orgs.includes(owner));
}

/** The signature in the storage's URLs: whoever has one needs no token. */
export function signatureOf(what: string): string {
  return createHash("sha256").update(`the storage's secret ${what}`).digest("hex").slice(0, 32);
}

/** Names a file in xet's storage. The real one is a hash of the hashes of its chunks. */
export function xetHashOf({ sha256 }: HubContent): string {
  return createHash("sha256").update(`xet ${sha256}`).digest("hex");
}

export function signedUrl(state: HubState, path: string): string {
  return `${state.cdn}/cdn/${path}?X-Amz-Expires=3600&X-Amz-Signature=${signatureOf(path)}`;
}

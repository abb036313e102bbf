/** Where a result is pushed to: the repository, made if it is not there, and its branch. */
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../errors.ts";
import { HubRefusal } from "./hub_error.ts";
import type { HubSettings } from "./hub_settings.ts";
import { isRepoId, isRevision, type RepoName } from "./repo_name.ts";
import { ask, askJson, type HubOptions } from "./requests.ts";

export interface PushTarget {
  /** `org/name`, or `name` in the account of the token. */
  readonly repo: string;
  /** Of a repository that the push makes; one that is there stays as it is. */
  readonly isPrivate: boolean;
  /** A branch. Default: `main`. */
  readonly branch?: string | undefined;
}

export interface OpenTarget {
  readonly name: RepoName;
  /** Whether this push made the repository. */
  readonly isNew: boolean;
  readonly isPrivate: boolean;
}

const MODEL_NAME = /^[A-Za-z0-9][\w.-]{0,95}$/;

/** Throws `invalid_request` for `hub_model_id` or `hub_revision`. */
export function checkTarget({ repo, branch = "main" }: Pick<PushTarget, "repo" | "branch">): void {
  if (!isRepoId(repo) && !(MODEL_NAME.test(repo) && !repo.includes(".."))) {
    const message = `hub_model_id is ${quote(repo)}; "org/name", or a name in your own account, is needed`;
    throw new LoraFleetError("invalid_request", message, { param: "hub_model_id" });
  }
  if (!isRevision(branch)) {
    const message = `hub_revision is ${quote(branch)}; the name of a branch is needed`;
    throw new LoraFleetError("invalid_request", message, { param: "hub_revision" });
  }
}

/** Throws `unauthorized` without a token. */
export function assertToken(hub: HubSettings): void {
  if (hub.token !== null) return;
  const message =
    `pushing to ${hub.endpoint} needs a token with write access: set HF_TOKEN on the coordinator ` +
    `(${hub.endpoint}/settings/tokens)`;
  throw new LoraFleetError("unauthorized", message, { param: "HF_TOKEN" });
}

/** Makes what is missing. Throws `unauthorized`, `invalid_request`, `not_found`. */
export async function openTarget(
  target: PushTarget,
  hub: HubOptions,
  signal?: AbortSignal,
): Promise<OpenTarget> {
  checkTarget(target);
  assertToken(hub);
  const repo = target.repo.includes("/") ? target.repo : `${await accountOf(hub, signal)}/${target.repo}`;
  const name: RepoName = { type: "model", repo, revision: target.branch ?? "main" };
  try {
    const isNew = await createRepo(repo, target.isPrivate, hub, signal);
    if (name.revision !== "main") await createBranch(name, hub, signal);
    return { name, isNew, isPrivate: isNew ? target.isPrivate : await isPrivateRepo(repo, hub, signal) };
  } catch (thrown) {
    throw pushError(thrown, repo, hub, signal);
  }
}

/** The account's name. */
async function accountOf(hub: HubOptions, signal?: AbortSignal): Promise<string> {
  try {
    const { body } = await askJson(hub, "api/whoami-v2", signal);
    return z.object({ name: z.string().regex(MODEL_NAME) }).parse(body).name;
  } catch (thrown) {
    throw pushError(thrown, null, hub, signal);
  }
}

/** False if there was one already. */
async function createRepo(
  repo: string,
  isPrivate: boolean,
  hub: HubOptions,
  signal?: AbortSignal,
): Promise<boolean> {
  const [organization, name] = repo.split("/");
  const visibility = isPrivate ? "private" : "public";
  try {
    return await postOnce(hub, "api/repos/create", { type: "model", organization, name, visibility }, signal);
  } catch (thrown) {
    // A token may write to a repository without the right to make any beside it.
    const isForbidden = thrown instanceof HubRefusal && thrown.status === 403;
    if (isForbidden && await isPrivateRepo(repo, hub, signal).then(() => true, () => false)) return false;
    throw thrown;
  }
}

async function createBranch(
  { repo, revision }: RepoName,
  hub: HubOptions,
  signal?: AbortSignal,
): Promise<void> {
  await postOnce(hub, `api/models/${repo}/branch/${encodeURIComponent(revision)}`, {}, signal);
}

/** False if what the request makes is there already. */
async function postOnce(
  hub: HubOptions,
  path: string,
  body: unknown,
  signal?: AbortSignal,
): Promise<boolean> {
  const init = {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
  };
  try {
    const response = await ask(hub, path, { ...init, ...(signal === undefined ? {} : { signal }) });
    await response.body?.cancel();
    return true;
  } catch (thrown) {
    if (thrown instanceof HubRefusal && thrown.status === 409) return false;
    throw thrown;
  }
}

async function isPrivateRepo(repo: string, hub: HubOptions, signal?: AbortSignal): Promise<boolean> {
  const { body } = await askJson(hub, `api/models/${repo}`, signal);
  return z.object({ private: z.boolean() }).parse(body).private;
}

/** What a user can do about a push that failed. */
export function pushError(
  thrown: unknown,
  repo: string | null,
  hub: HubOptions,
  signal?: AbortSignal,
): Error {
  signal?.throwIfAborted();
  if (thrown instanceof LoraFleetError && thrown.code !== "timeout") return thrown;
  const where = repo === null ? hub.endpoint : `${quote(repo)} on ${hub.endpoint}`;
  if (thrown instanceof HubRefusal && (thrown.status === 401 || thrown.status === 403)) {
    const message =
      `HF_TOKEN may not write to ${where}: ${thrown.message}; a token with write access is needed ` +
      `(${hub.endpoint}/settings/tokens)`;
    return new LoraFleetError("unauthorized", message, { param: "HF_TOKEN", cause: thrown });
  }
  const code = thrown instanceof HubRefusal && thrown.status === 404 ? "not_found" : "timeout";
  return new LoraFleetError(code, `cannot push to ${where}: ${messageOf(thrown)}`, { cause: thrown });
}

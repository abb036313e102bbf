/** A hub's refusals, and the sentences that users read about them. */
import { LoraFleetError, messageOf, quote } from "../errors.ts";
import type { HubSettings } from "./hub_settings.ts";
import { pathOf, type RepoName, type RepoType } from "./repo_name.ts";

/** An answer that is no success. */
export class HubRefusal extends Error {
  readonly status: number;
  /** The hub's `X-Error-Code`: GatedRepo, RepoNotFound, RevisionNotFound, EntryNotFound. */
  readonly code: string | null;
  readonly headers: Headers;

  constructor(status: number, code: string | null, headers: Headers, message: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** Reads the refusal out of a response, and its body to the end. */
export async function refusalOf(response: Response): Promise<HubRefusal> {
  const text = await response.text().catch(() => "");
  const [, error] = /"error"\s*:\s*("(?:[^"\\]|\\.)*")/.exec(text) ?? [];
  const said = response.headers.get("x-error-message") ??
    (error === undefined ? "" : String(JSON.parse(error)));
  const message = `status ${response.status}${said === "" ? "" : ` (${said.slice(0, 300)})`}`;
  return new HubRefusal(response.status, response.headers.get("x-error-code"), response.headers, message);
}

/** Whether the repository is there and the licence is what is missing. */
export function isGated(thrown: unknown): boolean {
  const cause = thrown instanceof LoraFleetError ? thrown.cause : thrown;
  return cause instanceof HubRefusal && cause.code === "GatedRepo";
}

/** A repository's error: code and field follow its type. */
export function repoError(type: RepoType, message: string, cause?: unknown): LoraFleetError {
  return type === "model"
    ? new LoraFleetError("model_not_found", message, { param: "model", cause })
    : new LoraFleetError("invalid_request", message, { param: "dataset.path", cause });
}

/**
 * What a user can do about it.
 * @param attempt such as `cannot download "config.json"`; null if the repository itself was asked for
 */
export function explain(
  thrown: unknown,
  name: RepoName,
  hub: Pick<HubSettings, "endpoint" | "token">,
  attempt: string | null = null,
): LoraFleetError {
  const { type, repo, revision } = name;
  const noun = type === "model" ? "base model" : "dataset";
  if (isGated(thrown)) return repoError(type, gatedMessage(thrown, name, hub), thrown);
  const why = messageOf(thrown);
  if (thrown instanceof HubRefusal && thrown.code === "RevisionNotFound") {
    const message =
      `${noun} ${quote(repo)} has no revision ${quote(revision)} on ${hub.endpoint}; a branch, a tag ` +
      "or a commit is needed";
    return repoError(type, message, thrown);
  }
  const started = attempt === null
    ? `no ${noun} ${quote(repo)} at revision ${quote(revision)} on ${hub.endpoint}`
    : `${attempt} of ${quote(repo)} from ${hub.endpoint}`;
  return repoError(type, `${started}: ${why}${rightsOf(thrown, hub)}`, thrown);
}

function gatedMessage(thrown: unknown, name: RepoName, hub: Pick<HubSettings, "endpoint" | "token">): string {
  const page = `${hub.endpoint}/${pathOf(name)}`;
  const { status } = thrown instanceof LoraFleetError ? thrown.cause as HubRefusal : thrown as HubRefusal;
  return hub.token === null || status === 401
    ? `${
      quote(name.repo)
    } is gated: accept its licence at ${page} and set HF_TOKEN to a token of the same account`
    : `${
      quote(name.repo)
    } is gated, and the account of HF_TOKEN has no access: accept the licence at ${page} ` +
      "with that account, or wait there for the approval";
}

function rightsOf(thrown: unknown, hub: Pick<HubSettings, "token">): string {
  if (!(thrown instanceof HubRefusal)) return "";
  if (thrown.message.includes("Invalid credentials")) return "; HF_TOKEN is no token of this hub";
  if (thrown.status !== 401 && thrown.status !== 403 && thrown.status !== 404) return "";
  return hub.token === null
    ? "; no HF_TOKEN is set, so that private and gated repositories stay hidden"
    : "; HF_TOKEN was sent";
}

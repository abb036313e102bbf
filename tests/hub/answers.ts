/** The hub's errors, with the headers by which its clients tell them apart. */
import type { HubRepo } from "./repos.ts";

export interface HubAccount {
  readonly name: string;
  readonly orgs: readonly string[];
  readonly role: "read" | "write";
  /** Gated repositories whose licence it accepted. */
  readonly licences: readonly string[];
}

/** Ends a request with this answer. */
export class Refusal extends Error {
  readonly response: Response;

  constructor(response: Response) {
    super(`status ${response.status}`);
    this.response = response;
  }
}

function refusal(status: number, code: string | null, message: string, error = message): Refusal {
  const headers = { ...(code === null ? {} : { "x-error-code": code }), "x-error-message": message };
  return new Refusal(Response.json({ error }, { status, headers }));
}

export const refuse = {
  wrongToken: () => refusal(401, null, "Invalid credentials in Authorization header"),
  noToken: () => refusal(401, null, "Invalid username or password."),
  /** Without a token the hub does not say whether a private repository exists. */
  repo: (account: HubAccount | null) =>
    account === null
      ? refusal(401, "RepoNotFound", "Repository not found", "Invalid username or password.")
      : refusal(404, "RepoNotFound", "Repository not found"),
  revision: (revision: string) => refusal(404, "RevisionNotFound", `Invalid rev id: ${revision}`),
  entry: () => refusal(404, "EntryNotFound", "Entry not found"),
  gated: (repo: HubRepo, account: HubAccount | null, endpoint: string) =>
    account === null
      ? refusal(
        401,
        "GatedRepo",
        `Access to ${repo.type} ${repo.id} is restricted. You must have access to it and be authenticated to ` +
          "access it. Please log in.",
      )
      : refusal(
        403,
        "GatedRepo",
        `Access to ${repo.type} ${repo.id} is restricted and you are not in the authorized list. Visit ` +
          `${endpoint}/${repo.path} to ask for access.`,
      ),
  forbidden: (what: string) => refusal(403, null, `You don't have the rights to ${what}`),
  conflict: (message: string, more: Record<string, unknown> = {}) =>
    new Refusal(Response.json({ error: message, ...more }, { status: 409 })),
  badRequest: (message: string, status = 400) => refusal(status, null, message),
  notFound: () => refusal(404, null, "Sorry, we can't find the page you are looking for."),
};

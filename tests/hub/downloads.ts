/** Files: `resolve` names one and redirects to its bytes, to the storage if it is in LFS. */
import { refuse } from "./answers.ts";
import { faulty, type HubFault } from "./faults.ts";
import type { HubContent } from "./content.ts";
import {
  assertMayRead,
  commitOf,
  type HubRequest,
  type HubState,
  repoOf,
  signatureOf,
  signedUrl,
  xetHashOf,
} from "./state.ts";
import type { HubRepo } from "./repos.ts";

export function resolveFile(state: HubState, asked: HubRequest): Response {
  const repo = repoOf(state, asked);
  const commit = commitOf(repo, asked.parts["revision"]!);
  const path = asked.parts["path"]!;
  const file = repo.commits.get(commit)!.get(path);
  assertMayRead(state, repo, asked.account);
  if (file === undefined) throw withCommit(refuse.entry(), commit);
  const { content, isLfs } = file;
  const etag = `"${isLfs ? content.sha256 : content.gitOid}"`;
  const location = isLfs
    ? state.isXet ? bridgeUrl(state, content.sha256) : signedUrl(state, content.sha256)
    : `/api/resolve-cache/${repo.type}s/${repo.id}/${commit}/${path}`;
  return new Response(null, {
    status: isLfs ? 302 : 307,
    headers: {
      location,
      "x-repo-commit": commit,
      "x-linked-etag": etag,
      "x-linked-size": String(content.size),
      "accept-ranges": "bytes",
      ...(isLfs && state.isXet ? xetHeaders(state, repo, commit, content) : {}),
    },
  });
}

/** Clients without xet follow the redirect to the bridge, which serves the file as LFS's storage would. */
function bridgeUrl(state: HubState, sha256: string): string {
  return signedUrl(state, sha256).replace("/cdn/", "/xet-bridge-us/65f1/");
}

function xetHeaders(state: HubState, repo: HubRepo, commit: string, content: HubContent) {
  const hash = xetHashOf(content);
  const auth = `${state.endpoint}/api/${repo.type}s/${repo.id}/xet-read-token/${commit}`;
  return {
    "x-xet-hash": hash,
    link: `<${auth}>; rel="xet-auth", <https://cas-server.invalid/v1/reconstructions/${hash}>; ` +
      'rel="xet-reconstruction-info"',
  };
}

export function cachedFile(state: HubState, asked: HubRequest, fault: HubFault | null): Response {
  const repo = repoOf(state, asked);
  assertMayRead(state, repo, asked.account);
  const file = repo.commits.get(asked.parts["revision"]!)?.get(asked.parts["path"]!);
  if (file === undefined) throw refuse.entry();
  const headers = { etag: `"${file.content.gitOid}"`, "x-repo-commit": asked.parts["revision"]! };
  return serveContent(asked.request, file.content, headers, fault);
}

/** The storage refuses a token, as S3 does beside a signature, and a URL without a signature. */
export function storedObject(state: HubState, asked: HubRequest, fault: HubFault | null): Response {
  const { request, url, parts } = asked;
  if (request.headers.has("authorization")) {
    throw refuse.badRequest("Only one auth mechanism allowed");
  }
  const content = state.objects.get(parts["oid"]!) ?? objectInRepos(state, parts["oid"]!);
  if (content === undefined || url.searchParams.get("X-Amz-Signature") !== signatureOf(parts["oid"]!)) {
    throw refuse.badRequest("Access denied", 403);
  }
  return serveContent(request, content, { etag: `"s3-${content.sha256.slice(0, 24)}"` }, fault);
}

function objectInRepos(state: HubState, oid: string): HubContent | undefined {
  for (const repo of state.repos.values()) {
    for (const tree of repo.commits.values()) {
      for (const { content } of tree.values()) if (content.sha256 === oid) return content;
    }
  }
  return undefined;
}

function withCommit<R extends { readonly response: Response }>(refusal: R, commit: string): R {
  refusal.response.headers.set("x-repo-commit", commit);
  return refusal;
}

function serveContent(
  request: Request,
  content: HubContent,
  more: Record<string, string>,
  fault: HubFault | null,
): Response {
  const { size } = content;
  const headers = new Headers({
    ...more,
    "accept-ranges": "bytes",
    "content-type": "application/octet-stream",
  });
  const ifRange = request.headers.get("if-range");
  const isSame = ifRange === null || ifRange === headers.get("etag");
  const [, from, to] = isSame ? /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "") ?? [] : [];
  let [start, end] = [0, size];
  if (from !== undefined) {
    [start, end] = [Number(from), to === "" ? size : Math.min(Number(to) + 1, size)];
    if (start >= size) {
      headers.set("content-range", `bytes */${size}`);
      return new Response(null, { status: 416, headers });
    }
    headers.set("content-range", `bytes ${start}-${end - 1}/${size}`);
  }
  // A body that is cut short must not be announced in full.
  if (fault?.kind !== "short") headers.set("content-length", String(end - start));
  const status = from === undefined ? 200 : 206;
  if (request.method === "HEAD") return new Response(null, { status, headers });
  const body = faulty(content.chunks(start, end), fault, request.signal);
  return new Response(ReadableStream.from(body), { status, headers });
}

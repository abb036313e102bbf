/** Uploads: what belongs in LFS, the objects themselves, and the commit that names them. */
import { decodeBase64 } from "./base64.ts";
import { refuse } from "./answers.ts";
import { contentOf, type HubContent } from "./content.ts";
import { faulty, type HubFault } from "./faults.ts";
import { belongsInLfs, type HubFile, HubRepo, type RepoType } from "./repos.ts";
import {
  assertMayWrite,
  commitOf,
  type HubRequest,
  type HubState,
  repoKey,
  repoOf,
  signatureOf,
  signedUrl,
} from "./state.ts";

export async function createRepo(state: HubState, { request, account }: HubRequest): Promise<Response> {
  const body = await request.json();
  if (account === null) throw refuse.noToken();
  const type: RepoType = body.type === "dataset" ? "dataset" : "model";
  const id = `${body.organization ?? account.name}/${body.name}`;
  assertMayWrite(account, id);
  const known = state.repos.get(repoKey(type, id));
  const url = `${state.endpoint}/${type === "model" ? "" : "datasets/"}${id}`;
  if (known !== undefined) throw refuse.conflict(`You already created this ${type} repo`, { url });
  const isPrivate = body.visibility === "private" || body.private === true;
  state.repos.set(repoKey(type, id), new HubRepo(type, id, { isPrivate }));
  return Response.json({ url, id: "662932b5a0f7a4a1c5a5d00d", name: id });
}

export async function createBranch(state: HubState, asked: HubRequest): Promise<Response> {
  const repo = repoOf(state, asked);
  assertMayWrite(asked.account, repo.id);
  const text = await asked.request.text();
  const { startingPoint = "main" } = text === "" ? {} : JSON.parse(text);
  const branch = asked.parts["branch"]!;
  if (repo.refs.has(branch)) throw refuse.conflict("Reference already exists");
  repo.refs.set(branch, commitOf(repo, startingPoint));
  return new Response(null, { status: 204 });
}

export async function preupload(state: HubState, asked: HubRequest): Promise<Response> {
  const repo = repoOf(state, asked);
  assertMayWrite(asked.account, repo.id);
  const tree = repo.commits.get(commitOf(repo, asked.parts["revision"]!))!;
  const { files } = await asked.request.json() as { files: { path: string; size: number; sample: string }[] };
  return Response.json({
    files: files.map(({ path, size, sample }) => {
      const there = tree.get(path);
      return {
        path,
        uploadMode: belongsInLfs(path, size, decodeBase64(sample)) ? "lfs" : "regular",
        shouldIgnore: false,
        oid: there === undefined ? null : there.isLfs ? there.content.sha256 : there.content.gitOid,
      };
    }),
  });
}

interface LfsObject {
  readonly oid: string;
  readonly size: number;
}

/** Says where to send each object; nowhere if the storage has it already. */
export async function lfsBatch(state: HubState, asked: HubRequest): Promise<Response> {
  const repo = repoOf(state, asked);
  assertMayWrite(asked.account, repo.id);
  const { transfers = ["basic"], objects } = await asked.request.json() as {
    transfers?: string[];
    objects: LfsObject[];
  };
  if (state.isXet && transfers.includes("xet")) return xetBatch(state, repo, objects);
  const verify = {
    href: `${state.endpoint}/${repo.path}.git/info/lfs/objects/verify`,
    header: { authorization: "Bearer the-storage-s" },
  };
  const actionsFor = ({ oid, size }: LfsObject) => {
    if (state.objects.has(oid)) return {};
    if (size < state.partBytes || !transfers.includes("multipart")) {
      return { actions: { upload: { href: signedUrl(state, `upload/${oid}/${size}`) }, verify } };
    }
    const header: Record<string, string> = { chunk_size: String(state.partBytes) };
    for (let part = 1; (part - 1) * state.partBytes < size; part++) {
      header[String(part).padStart(5, "0")] = signedUrl(state, `part/${oid}/${part}`);
    }
    const href = `${state.endpoint}/${repo.path}.git/info/lfs/complete/${oid}/${size}`;
    return { actions: { upload: { href, header }, verify } };
  };
  return Response.json({
    transfer: transfers.includes("multipart") ? "multipart" : "basic",
    objects: objects.map((object) => ({ ...object, authenticated: true, ...actionsFor(object) })),
  }, { headers: { "content-type": "application/vnd.git-lfs+json; charset=utf-8" } });
}

/** Sends the client to xet's content-addressed storage, which this hub does not have. */
function xetBatch(state: HubState, repo: HubRepo, objects: readonly LfsObject[]): Response {
  const href = `${state.endpoint}/api/${repo.type}s/${repo.id}/xet-write-token/main`;
  const header = { "X-Xet-Cas-Url": "https://cas-server.invalid", "X-Xet-Access-Token": "xet" };
  return Response.json({
    transfer: "xet",
    objects: objects.map((object) => ({
      ...object,
      authenticated: true,
      actions: { upload: { href, header } },
    })),
  }, { headers: { "content-type": "application/vnd.git-lfs+json; charset=utf-8" } });
}

export async function putObject(
  state: HubState,
  asked: HubRequest,
  fault: HubFault | null,
): Promise<Response> {
  const { oid, number } = asked.parts as { oid: string; number: string };
  const isPart = asked.url.pathname.startsWith("/cdn/part/");
  assertSigned(asked, `${isPart ? "part" : "upload"}/${oid}/${number}`);
  const bytes = await bodyOf(asked.request, fault);
  if (isPart) {
    state.parts.set(`${oid}/${number}`, bytes);
    return new Response(null, { headers: { etag: `"part-${number}"` } });
  }
  await store(state, oid, Number(number), bytes);
  return new Response(null, { headers: { etag: '"stored"' } });
}

export async function completeObject(state: HubState, asked: HubRequest): Promise<Response> {
  const { oid, size } = asked.parts as { oid: string; size: string };
  const { parts } = await asked.request.json() as { parts: { partNumber: number; etag: string }[] };
  const stored = parts.map(({ partNumber, etag }) => {
    const bytes = state.parts.get(`${oid}/${partNumber}`);
    if (bytes === undefined || etag !== `"part-${partNumber}"`) {
      throw refuse.badRequest(`part ${partNumber} is missing`);
    }
    return bytes;
  });
  await store(state, oid, Number(size), await new Blob(stored).bytes());
  return Response.json({ success: true });
}

export async function verifyObject(state: HubState, asked: HubRequest): Promise<Response> {
  const { oid, size } = await asked.request.json() as LfsObject;
  if (state.objects.get(oid)?.size !== size) throw refuse.badRequest("Object not found", 404);
  return Response.json({});
}

function assertSigned({ request, url }: HubRequest, what: string): void {
  if (request.headers.has("authorization")) throw refuse.badRequest("Only one auth mechanism allowed");
  if (url.searchParams.get("X-Amz-Signature") !== signatureOf(what)) {
    throw refuse.badRequest("Access denied", 403);
  }
}

async function bodyOf(request: Request, fault: HubFault | null): Promise<Uint8Array<ArrayBuffer>> {
  // The storage takes no chunked bodies, as S3.
  if (!request.headers.has("content-length")) throw refuse.badRequest("MissingContentLength", 411);
  if (request.body === null) return new Uint8Array();
  const chunks = request.body as unknown as AsyncIterable<Uint8Array<ArrayBuffer>>;
  return await new Response(ReadableStream.from(faulty(chunks, fault, request.signal))).bytes();
}

async function store(state: HubState, oid: string, size: number, bytes: Uint8Array): Promise<void> {
  const content = await contentOf(bytes);
  if (content.sha256 !== oid || content.size !== size) {
    throw refuse.badRequest("The Content-SHA256 you specified did not match what we received");
  }
  state.objects.set(oid, content);
}

/** Lines of JSON: a header, files with their bytes, LFS files by name, deletions. */
export async function commitFiles(state: HubState, asked: HubRequest): Promise<Response> {
  const repo = repoOf(state, asked);
  assertMayWrite(asked.account, repo.id);
  const branch = asked.parts["revision"]!;
  const parent = commitOf(repo, branch);
  const changes = new Map<string, HubFile | null>();
  for (const line of (await asked.request.text()).split("\n").filter((text) => text !== "")) {
    const { key, value } = JSON.parse(line);
    if (key === "header" && value.parentCommit !== undefined && value.parentCommit !== parent) {
      throw refuse.badRequest("A commit has happened since. Please refresh and try again.", 412);
    }
    if (key === "file") {
      const bytes = value.encoding === "base64" ? decodeBase64(value.content) : value.content;
      changes.set(value.path, { content: await contentOf(bytes), isLfs: false });
    } else if (key === "lfsFile") {
      changes.set(value.path, { content: uploaded(state, value.oid), isLfs: true });
    } else if (key === "deletedFile") changes.set(value.path, null);
  }
  const commitOid = repo.commit(changes, branch);
  return Response.json({
    success: true,
    commitOid,
    commitUrl: `${state.endpoint}/${repo.path}/commit/${commitOid}`,
    hookOutput: "",
  });
}

function uploaded(state: HubState, oid: string): HubContent {
  const content = state.objects.get(oid);
  if (content === undefined) throw refuse.badRequest("Your push was rejected: an LFS pointer has no object");
  return content;
}

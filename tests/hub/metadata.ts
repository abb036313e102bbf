/** What the hub says about repositories: commits, trees, refs, Parquet conversions, accounts. */
import { bytesOf } from "./content.ts";
import { refuse } from "./answers.ts";
import type { HubFile, HubRepo, Tree } from "./repos.ts";
import { commitOf, type HubRequest, type HubState, repoOf, xetHashOf } from "./state.ts";

const CONVERTED = "refs/convert/parquet";
const TIME = "2024-04-24T16:27:33.000Z";

export function repoInfo(state: HubState, asked: HubRequest): Response {
  const repo = repoOf(state, asked);
  const sha = commitOf(repo, asked.parts["revision"] ?? "main");
  const siblings = [...repo.commits.get(sha)!.keys()].map((rfilename) => ({ rfilename }));
  const common = {
    _id: "662932b5a0f7a4a1c5a5c0de",
    id: repo.id,
    author: repo.id.split("/")[0],
    sha,
    private: repo.isPrivate,
    gated: repo.gated,
    disabled: false,
    downloads: 7,
    likes: 1,
    tags: [],
    lastModified: TIME,
    createdAt: TIME,
    siblings,
  };
  return Response.json(repo.type === "model" ? { ...common, modelId: repo.id } : common);
}

/** A page of a folder's entries; with `recursive` of everything below. */
export function listTree(state: HubState, asked: HubRequest): Response {
  const repo = repoOf(state, asked);
  const commit = commitOf(repo, asked.parts["revision"]!);
  const folder = asked.parts["path"] ?? "";
  const isRecursive = /^(true|1)$/i.test(asked.url.searchParams.get("recursive") ?? "");
  const entries = entriesOf(state, repo.commits.get(commit)!, folder, isRecursive);
  if (entries.length === 0 && folder !== "") throw refuse.entry();
  const start = Number(asked.url.searchParams.get("cursor") ?? 0);
  const limit = Math.min(Number(asked.url.searchParams.get("limit") ?? state.pageSize), state.pageSize);
  const next = new URL(asked.url.pathname + asked.url.search, state.endpoint);
  next.searchParams.set("cursor", String(start + limit));
  const headers: HeadersInit = start + limit < entries.length ? { link: `<${next}>; rel="next"` } : {};
  return Response.json(entries.slice(start, start + limit), { headers });
}

function entriesOf(state: HubState, tree: Tree, folder: string, isRecursive: boolean) {
  const prefix = folder === "" ? "" : `${folder}/`;
  const folders = new Set<string>();
  const files: ReturnType<typeof fileEntry>[] = [];
  for (const [path, file] of [...tree].sort()) {
    if (!path.startsWith(prefix)) continue;
    const below = path.slice(prefix.length).split("/").slice(0, -1);
    below.slice(0, isRecursive ? below.length : 1).forEach((_, depth) =>
      folders.add(prefix + below.slice(0, depth + 1).join("/"))
    );
    if (isRecursive || below.length === 0) files.push(fileEntry(state, path, file));
  }
  return [
    ...[...folders].map((path) => ({ type: "directory", oid: "0".repeat(40), size: 0, path })),
    ...files,
  ];
}

function fileEntry({ isXet }: HubState, path: string, { content, isLfs }: HubFile) {
  return {
    type: "file",
    oid: content.gitOid,
    size: content.size,
    ...(isLfs ? { lfs: { oid: content.sha256, size: content.size, pointerSize: 134 } } : {}),
    ...(isLfs && isXet ? { xetHash: xetHashOf(content) } : {}),
    path,
  };
}

export async function pathsInfo(state: HubState, asked: HubRequest): Promise<Response> {
  const repo = repoOf(state, asked);
  const tree = repo.commits.get(commitOf(repo, asked.parts["revision"]!))!;
  const isForm = asked.request.headers.get("content-type")?.includes("form") === true;
  const text = await asked.request.text();
  const paths: string[] = isForm ? new URLSearchParams(text).getAll("paths") : JSON.parse(text).paths;
  return Response.json(paths.flatMap((path) => {
    const file = tree.get(path);
    return file === undefined ? [] : [fileEntry(state, path, file)];
  }));
}

export function listRefs(state: HubState, asked: HubRequest): Response {
  const { refs } = repoOf(state, asked);
  const named = (pattern: RegExp) =>
    [...refs].filter(([name]) => pattern.test(name)).map(([name, targetCommit]) => ({
      name: name.replace(/^refs\/(convert|tags)\//, ""),
      ref: name.startsWith("refs/") ? name : `refs/heads/${name}`,
      targetCommit,
    }));
  return Response.json({
    branches: named(/^(?!refs\/)/),
    converts: named(/^refs\/convert\//),
    tags: named(/^refs\/tags\//),
    pullRequests: [],
  });
}

/** Configuration → split → URLs of the Parquet conversion. */
export function parquetFiles(state: HubState, asked: HubRequest): Response {
  const repo = repoOf(state, asked);
  const found: Record<string, Record<string, string[]>> = {};
  for (const path of convertedPaths(repo)) {
    const [config, split] = path.split("/") as [string, string];
    const urls = (found[config] ??= {})[split] ??= [];
    urls.push(`${state.endpoint}/api/datasets/${repo.id}/parquet/${config}/${split}/${urls.length}.parquet`);
  }
  if (Object.keys(found).length === 0) throw refuse.entry();
  const { config, split } = asked.parts;
  if (config === undefined) return Response.json(found);
  const splits = found[config];
  if (splits === undefined) throw refuse.entry();
  return Response.json(split === undefined ? splits : splits[split] ?? []);
}

export function parquetFile(state: HubState, asked: HubRequest): Response {
  const repo = repoOf(state, asked);
  const { config, split, index } = asked.parts;
  const path = convertedPaths(repo).filter((path) => path.startsWith(`${config}/${split}/`))[Number(index)];
  if (path === undefined) throw refuse.entry();
  const location = `${state.endpoint}/${repo.path}/resolve/${encodeURIComponent(CONVERTED)}/${path}`;
  return new Response(null, { status: 302, headers: { location } });
}

function convertedPaths(repo: HubRepo): string[] {
  if (!repo.refs.has(CONVERTED)) return [];
  return [...repo.tree(CONVERTED).keys()].filter((path) => path.endsWith(".parquet")).sort();
}

export function whoAmI(_: HubState, { account }: HubRequest): Response {
  if (account === null) throw refuse.noToken();
  return Response.json({
    type: "user",
    id: "662932b5a0f7a4a1c5a5beef",
    name: account.name,
    fullname: account.name,
    email: `${account.name}@example.org`,
    emailVerified: true,
    isPro: false,
    periodEnd: null,
    avatarUrl: "/avatars/a.svg",
    orgs: account.orgs.map((name) => ({ type: "org", id: name, name, fullname: name, roleInOrg: "admin" })),
    auth: { type: "access_token", accessToken: { displayName: "test", role: account.role, createdAt: TIME } },
  });
}

/** A card's metadata is taken as it is. */
export async function validateYaml(_: HubState, { request }: HubRequest): Promise<Response> {
  await request.body?.cancel();
  return Response.json({ warnings: [], errors: [] });
}

/** Small files' bytes, for tests. */
export async function textOf(repo: HubRepo, path: string, revision = "main"): Promise<string | null> {
  const file = repo.tree(revision).get(path);
  return file === undefined ? null : new TextDecoder().decode(await bytesOf(file.content));
}

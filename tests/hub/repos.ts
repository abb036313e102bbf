/** Repositories as the hub keeps them: commits, each a tree of files, with branches and tags that name them. */
import { createHash } from "node:crypto";
import { contentOf, type ContentSource, type HubContent } from "./content.ts";

export type RepoType = "model" | "dataset";

export interface HubFile {
  readonly content: HubContent;
  readonly isLfs: boolean;
}

export type Tree = ReadonlyMap<string, HubFile>;

export interface RepoOptions {
  readonly isPrivate?: boolean;
  /** Who may read: everybody, accounts after they accept the licence ("auto"), or after a person's approval ("manual"). */
  readonly gated?: false | "auto" | "manual";
}

/** Endings that the hub's default `.gitattributes` gives to LFS. */
const LFS_NAMES = /\.(safetensors|bin|pt|gguf|parquet|arrow|zip|gz|model)$/;
const MAX_REGULAR_BYTES = 10 * 2 ** 20;

export function belongsInLfs(path: string, size: number, sample: Uint8Array): boolean {
  return size > 0 && (LFS_NAMES.test(path) || size > MAX_REGULAR_BYTES || sample.includes(0));
}

export class HubRepo {
  readonly type: RepoType;
  readonly id: string;
  readonly commits = new Map<string, Tree>();
  readonly refs = new Map<string, string>();
  isPrivate: boolean;
  gated: false | "auto" | "manual";

  constructor(type: RepoType, id: string, options: RepoOptions = {}) {
    this.type = type;
    this.id = id;
    this.isPrivate = options.isPrivate ?? false;
    this.gated = options.gated ?? false;
    this.commit(new Map());
  }

  /** The path behind the endpoint. */
  get path(): string {
    return this.type === "model" ? this.id : `datasets/${this.id}`;
  }

  /** `null` for a path removes it. Returns the commit's id. */
  commit(changes: ReadonlyMap<string, HubFile | null>, branch = "main"): string {
    const parent = this.refs.get(branch) ?? null;
    const tree = new Map(parent === null ? [] : this.commits.get(parent)!);
    for (const [path, file] of changes) {
      if (file === null) tree.delete(path);
      else tree.set(path, file);
    }
    const hash = createHash("sha1").update(`${this.type} ${this.id} ${parent}\n`);
    for (const [path, { content }] of [...tree].sort()) hash.update(`${content.gitOid} ${path}\n`);
    const id = hash.digest("hex");
    this.commits.set(id, tree);
    this.refs.set(branch, id);
    return id;
  }

  /** The commit that a branch, a tag, a commit or an unambiguous beginning of one names; null if there is none. */
  resolve(revision: string): string | null {
    const named = this.refs.get(revision);
    if (named !== undefined) return named;
    if (!/^[0-9a-f]{7,40}$/.test(revision)) return null;
    return [...this.commits.keys()].find((id) => id.startsWith(revision)) ?? null;
  }

  tree(revision = "main"): Tree {
    return this.commits.get(this.resolve(revision) ?? "") ?? new Map();
  }

  /** Commits files. Returns the commit's id. */
  async add(files: Readonly<Record<string, ContentSource>>, branch = "main"): Promise<string> {
    const changes = new Map<string, HubFile>();
    for (const [path, source] of Object.entries(files)) {
      const content = await contentOf(source);
      const sample = await new Response(
        ReadableStream.from(content.chunks(0, Math.min(512, content.size))),
      ).bytes();
      changes.set(path, { content, isLfs: belongsInLfs(path, content.size, sample) });
    }
    return this.commit(changes, branch);
  }
}

/** Reads `models/org/name/…` and `datasets/org/name/…` below a folder, each repository as one commit on `main`. */
export async function readRepos(folder: string): Promise<HubRepo[]> {
  const repos: HubRepo[] = [];
  for (const type of ["model", "dataset"] as const) {
    const typeFolder = `${folder}/${type}s`;
    for (const org of await foldersOf(typeFolder)) {
      for (const name of await foldersOf(`${typeFolder}/${org}`)) {
        const repo = new HubRepo(type, `${org}/${name}`);
        const root = `${typeFolder}/${org}/${name}`;
        const paths = await filesBelow(root);
        await repo.add(Object.fromEntries(paths.map((path) => [path, { path: `${root}/${path}` }])));
        repos.push(repo);
      }
    }
  }
  return repos;
}

async function foldersOf(folder: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
  return entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => name).sort();
}

async function filesBelow(folder: string, prefix = ""): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${prefix}`)) {
    if (isDirectory) paths.push(...await filesBelow(folder, `${prefix}${name}/`));
    else paths.push(prefix + name);
  }
  return paths.sort();
}

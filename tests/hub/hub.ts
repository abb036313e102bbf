/**
 * A hub on this machine that answers as the real one does: repositories, revisions, LFS with a storage of its own origin,
 * gated and private repositories, rate limits, uploads. `tests/hub/check_with_python.py` checks it with Python's huggingface_hub.
 */
import { accountOf, type HubRequest, type HubState, repoKey } from "./state.ts";
import { type HubAccount, Refusal, refuse } from "./answers.ts";
import type { ContentSource } from "./content.ts";
import { answerInstead, type HubFault, HubFaults } from "./faults.ts";
import { HubRepo, readRepos, type RepoOptions, type RepoType } from "./repos.ts";
import { ROUTES } from "./routes.ts";

/** Owns `tester/…` and `org/…`. */
export const WRITER_TOKEN = "hf_writerwriterwriter";
/** Reads what everybody may read. */
export const STRANGER_TOKEN = "hf_strangerstranger";

const ACCOUNTS: ReadonlyMap<string, HubAccount> = new Map([
  [WRITER_TOKEN, { name: "tester", orgs: ["org"], role: "write", licences: [] }],
  [STRANGER_TOKEN, { name: "stranger", orgs: [], role: "read", licences: [] }],
]);

export interface HubOptions {
  /** What will go wrong. */
  readonly faults?: readonly HubFault[];
  readonly port?: number;
  readonly pageSize?: number;
  /** Objects of at least this size are uploaded in parts. Default: 5 MiB. */
  readonly partBytes?: number;
  /** Whether large files lie in xet's storage. Default: false. */
  readonly isXet?: boolean;
}

export class Hub implements AsyncDisposable {
  readonly faults = new HubFaults();
  /** Method, path and range of every request, the storage's too. */
  readonly requests: string[] = [];
  readonly state: HubState;
  #servers: Deno.HttpServer<Deno.NetAddr>[] = [];
  #ports: readonly number[];
  #stopping = new AbortController();

  constructor(repos: readonly HubRepo[], options: HubOptions) {
    this.#ports = [options.port ?? 0, 0];
    this.up();
    const [endpoint, cdn] = this.#ports.map((port) => `http://127.0.0.1:${port}`) as [string, string];
    this.state = {
      endpoint,
      cdn,
      accounts: ACCOUNTS,
      repos: new Map(repos.map((repo) => [repoKey(repo.type, repo.id), repo])),
      objects: new Map(),
      parts: new Map(),
      partBytes: options.partBytes ?? 5 * 2 ** 20,
      pageSize: options.pageSize ?? 1000,
      isXet: options.isXet ?? false,
    };
    this.faults.add(...options.faults ?? []);
  }

  get endpoint(): string {
    return this.state.endpoint;
  }

  /** Adds a repository with one commit. */
  async add(
    type: RepoType,
    id: string,
    files: Readonly<Record<string, ContentSource>>,
    options: RepoOptions = {},
  ): Promise<HubRepo> {
    const repo = new HubRepo(type, id, options);
    await repo.add(files);
    this.state.repos.set(repoKey(type, id), repo);
    return repo;
  }

  /** Throws if there is no such repository. */
  repo(type: RepoType, id: string): HubRepo {
    const repo = this.state.repos.get(repoKey(type, id));
    if (repo === undefined) throw new Error(`the hub has no ${type} ${id}`);
    return repo;
  }

  /** Requests so far that match. */
  asked(pattern: RegExp): string[] {
    return this.requests.filter((line) => pattern.test(line));
  }

  /** Closes every connection; the ports refuse new ones. */
  async down(): Promise<void> {
    const servers = this.#servers;
    this.#servers = [];
    this.#stopping.abort();
    await Promise.all(servers.map((server) => server.finished));
  }

  /** Listens again, at the same ports. */
  up(): void {
    this.#stopping = new AbortController();
    this.#servers = this.#ports.map((port) =>
      Deno.serve({
        port,
        hostname: "127.0.0.1",
        signal: this.#stopping.signal,
        onListen: () => {},
        onError: () => new Response("broken", { status: 500 }),
      }, (request) => this.#answer(request))
    );
    this.#ports = this.#servers.map(({ addr }) => addr.port);
  }
  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const line = `${request.method} ${url.pathname}${url.search}`;
    const range = request.headers.get("range");
    this.requests.push(`${request.method} ${url.pathname}${range === null ? "" : ` ${range}`}`);
    const fault = this.faults.take(line);
    const instead = answerInstead(fault);
    if (instead !== null) return instead;
    try {
      for (const { method, path, answer } of ROUTES) {
        const match = path.exec(url.pathname);
        if (match === null || !method.includes(request.method)) continue;
        const parts = Object.fromEntries(
          Object.entries(match.groups ?? {}).filter(([, value]) => value !== undefined)
            .map(([name, value]) => [name, decodeURIComponent(value)]),
        );
        // A URL of the storage is its own permission.
        const account =
          url.pathname.startsWith("/cdn/") || /\.git\/info\/lfs\/objects\/verify$/.test(url.pathname)
            ? null
            : accountOf(this.state, request);
        const asked: HubRequest = { request, url, account, parts };
        const response = await answer(this.state, asked, fault);
        return fault?.kind === "lost" ? Response.json({ error: "Bad gateway" }, { status: 502 }) : response;
      }
      throw refuse.notFound();
    } catch (thrown) {
      if (thrown instanceof Refusal) return thrown.response;
      throw thrown;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }
}

/** Starts a hub with the repositories of a folder (`models/org/name/…`, `datasets/org/name/…`), or an empty one. */
export async function startHub(folder: string | null = null, options: HubOptions = {}): Promise<Hub> {
  return new Hub(folder === null ? [] : await readRepos(folder), options);
}

/** Downloads a whole repository into a cache: `download_child.ts <endpoint> <cache> <type> <repo> [offline]` prints its folder. */
import { openRepo } from "../../shared/hub/download_repo.ts";
import type { RepoType } from "../../shared/hub/repo_name.ts";

const [endpoint, cacheFolder, type, repo, offline] = Deno.args as [string, string, RepoType, string, string?];
const hub = { endpoint, token: null, cacheFolder, offline: offline !== undefined };
const opened = await openRepo({ type, repo, revision: "main" }, hub);
const { files } = await opened.list("", true);
await opened.fetch([...files.values()]);
await opened.record();
console.log(opened.folder);

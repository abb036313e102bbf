/** The hub's addresses. Revisions may hold an encoded slash, so paths are matched before they are decoded. */
import { cachedFile, resolveFile, storedObject } from "./downloads.ts";
import type { HubFault } from "./faults.ts";
import {
  listRefs,
  listTree,
  parquetFile,
  parquetFiles,
  pathsInfo,
  repoInfo,
  validateYaml,
  whoAmI,
} from "./metadata.ts";
import type { HubRequest, HubState } from "./state.ts";
import {
  commitFiles,
  completeObject,
  createBranch,
  createRepo,
  lfsBatch,
  preupload,
  putObject,
  verifyObject,
} from "./uploads.ts";

type Answer = (state: HubState, asked: HubRequest, fault: HubFault | null) => Response | Promise<Response>;

interface Route {
  readonly method: string;
  readonly path: RegExp;
  readonly answer: Answer;
}

const API = "/api/(?<type>models|datasets)/(?<id>[^/]+/[^/]+)";
const REVISION = "(?<revision>[^/]+)";
const GIT = "/(?:(?<type>datasets)/)?(?<id>[^/]+/[^/]+)\\.git/info/lfs";

const route = (method: string, path: string, answer: Answer): Route => (
  { method, path: new RegExp(`^${path}$`), answer }
);

export const ROUTES: readonly Route[] = [
  route("GET", "/api/whoami-v2", whoAmI),
  route("POST", "/api/validate-yaml", validateYaml),
  route("POST", "/api/repos/create", createRepo),
  route("GET", `${API}/parquet(?:/(?<config>[^/]+)(?:/(?<split>[^/]+))?)?`, parquetFiles),
  route("GET HEAD", `${API}/parquet/(?<config>[^/]+)/(?<split>[^/]+)/(?<index>\\d+)\\.parquet`, parquetFile),
  route("GET", `${API}/tree/${REVISION}(?:/(?<path>.+))?`, listTree),
  route("POST", `${API}/paths-info/${REVISION}`, pathsInfo),
  route("GET", `${API}/refs`, listRefs),
  route("POST", `${API}/branch/(?<branch>[^/]+)`, createBranch),
  route("POST", `${API}/preupload/${REVISION}`, preupload),
  route("POST", `${API}/commit/${REVISION}`, commitFiles),
  route("GET", API, repoInfo),
  route("GET", `${API}/revision/${REVISION}`, repoInfo),
  route(
    "GET HEAD",
    `/api/resolve-cache/(?<type>models|datasets)/(?<id>[^/]+/[^/]+)/${REVISION}/(?<path>.+)`,
    cachedFile,
  ),
  route("POST", `${GIT}/objects/batch`, lfsBatch),
  route("POST", `${GIT}/objects/verify`, verifyObject),
  route("POST", `${GIT}/complete/(?<oid>[0-9a-f]{64})/(?<size>\\d+)`, completeObject),
  route("PUT", "/cdn/(?:upload|part)/(?<oid>[0-9a-f]{64})/(?<number>\\d+)", putObject),
  route("GET HEAD", "/(?:cdn|xet-bridge-us/65f1)/(?<oid>[0-9a-f]{64})", storedObject),
  route(
    "GET HEAD",
    `/(?:(?<type>datasets)/)?(?<id>[^/]+/[^/]+)/resolve/${REVISION}/(?<path>.+)`,
    resolveFile,
  ),
];

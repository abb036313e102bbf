/** huggingface_hub's environment variables and files, read the same way by coordinator and worker. */
import { join, resolve } from "@std/path";
import { LoraFleetError, quote } from "../errors.ts";

export interface HubSettings {
  /** `HF_ENDPOINT`, without a slash at the end. */
  readonly endpoint: string;
  /** `HF_TOKEN`, or what `hf auth login` stored. */
  readonly token: string | null;
  /** `HF_HUB_OFFLINE`: use only what the cache holds. */
  readonly offline: boolean;
  /** `HF_HUB_CACHE`: shared with Python's tools. */
  readonly cacheFolder: string;
}

type Environment = (name: string) => string | null;

/**
 * @param readText a file's text; null if there is none
 * @throws LoraFleetError `usage` with param `HF_ENDPOINT` if that is no http(s) URL
 */
export function readHubSettings(
  env: Environment,
  readText: (path: string) => string | null = readTextIfThere,
): HubSettings {
  const endpoint = env("HF_ENDPOINT") ?? "https://huggingface.co";
  const url = URL.parse(endpoint);
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.hostname === "") {
    throw new LoraFleetError(
      "usage",
      `HF_ENDPOINT is ${quote(endpoint)}; a URL that begins with http:// or https:// is needed`,
      { param: "HF_ENDPOINT" },
    );
  }
  const home = homeOf(env);
  const stored = () => readText(env("HF_TOKEN_PATH") ?? join(home, "token"))?.trim() || null;
  return {
    endpoint: endpoint.replace(/\/+$/, ""),
    token: env("HF_TOKEN")?.trim() || stored(),
    offline: /^(1|true|yes|on)$/i.test(env("HF_HUB_OFFLINE") ?? ""),
    cacheFolder: hubCacheFolder(env),
  };
}

/** `HF_HUB_CACHE`, or what stands for it. */
export function hubCacheFolder(env: Environment): string {
  return resolve(env("HF_HUB_CACHE") ?? join(homeOf(env), "hub"));
}

/** Follows the XDG base directories. */
function homeOf(env: Environment): string {
  const user = env("HOME") ?? env("USERPROFILE") ?? ".";
  return env("HF_HOME") ?? join(env("XDG_CACHE_HOME") ?? join(user, ".cache"), "huggingface");
}

function readTextIfThere(path: string): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return null;
  }
}

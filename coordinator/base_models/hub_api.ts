/** What the coordinator asks a hub, within bounds, and what the local cache answers instead. */
import { HubApiError, modelInfo } from "@huggingface/hub";
import { basename } from "@std/path";
import { type Clock, systemClock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { HubSettings } from "../../shared/model/hub_settings.ts";
import { boundedFetch, type ResponseBounds } from "./bounded_fetch.ts";
import { createConfinedFetch } from "./confined_fetch.ts";
import type { HubName } from "./hub_name.ts";
import { unstalledFetch } from "./stalled_fetch.ts";

export interface HubOptions extends HubSettings {
  /** `HF_HUB_CACHE`. */
  readonly cacheFolder: string;
  readonly clock?: Clock;
}

/** Gives up on a hub that is silent for this long: clients and queued jobs wait for it. */
const STALL_MS = 30_000;
/** For a model's metadata; the largest repositories have a few megabytes. */
const METADATA_BOUNDS: ResponseBounds = { maxBytes: 32 * 2 ** 20, maxResponses: 1000 };

/** The commit of a revision. Throws `model_not_found` that quotes the hub's answer. */
export async function findHubCommit(name: HubName, hub: HubOptions, signal?: AbortSignal): Promise<string> {
  if (hub.offline) {
    const cached = await cachedCommit(name, hub);
    if (cached !== null) return cached;
    throw notOnHub(name, hub, "it is not in the cache, and HF_HUB_OFFLINE is set");
  }
  try {
    const { repo, revision } = name;
    const info = await modelInfo({
      ...hubAccess(hub, signal),
      name: repo,
      revision,
      additionalFields: ["sha"],
    });
    if (!/^[0-9a-f]{40}$/.test(info.sha)) throw new Error(`its answer has no commit, but ${quote(info.sha)}`);
    return info.sha;
  } catch (thrown) {
    signal?.throwIfAborted();
    if (!(thrown instanceof HubApiError)) {
      // The hub is unreachable: the cache will do.
      const cached = await cachedCommit(name, hub);
      if (cached !== null) return cached;
      throw notOnHub(name, hub, messageOf(thrown), thrown);
    }
    const rights = hub.token === null
      ? "no HF_TOKEN is set, so that private and gated models stay hidden"
      : "HF_TOKEN was sent";
    throw notOnHub(name, hub, `status ${thrown.statusCode}; ${rights}`, thrown);
  }
}

/** The arguments for @huggingface/hub: address, token, and a `fetch` that stalls, redirects and grows within bounds only. */
export function hubAccess(hub: HubOptions, signal?: AbortSignal, bounds: ResponseBounds = METADATA_BOUNDS) {
  const { endpoint, clock = systemClock } = hub;
  const unstalled = unstalledFetch(fetch, clock, STALL_MS);
  const confined = boundedFetch(createConfinedFetch({ endpoint, fetch: unstalled }), bounds);
  const fetchWithSignal: typeof fetch = (input, init) =>
    confined(input, signal === undefined ? init : { ...init, signal });
  return {
    hubUrl: hub.endpoint,
    fetch: fetchWithSignal,
    ...(hub.token === null ? {} : { accessToken: hub.token }),
  };
}

export function repoFolderOf(name: HubName, hub: HubOptions): string {
  return `${hub.cacheFolder}/models--${name.repo.replace("/", "--")}`;
}

async function cachedCommit(name: HubName, hub: HubOptions): Promise<string | null> {
  const repoFolder = repoFolderOf(name, hub);
  const commit = /^[0-9a-f]{40}$/.test(name.revision)
    ? name.revision
    : (await Deno.readTextFile(`${repoFolder}/refs/${basename(name.revision)}`).catch(() => "")).trim();
  return commit !== "" && await exists(`${repoFolder}/snapshots/${commit}/config.json`) ? commit : null;
}

export async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

export function notOnHub(name: HubName, hub: HubOptions, why: string, cause?: unknown): LoraFleetError {
  const message = `no base model ${quote(name.repo)} at revision ${quote(name.revision)} on ` +
    `${hub.endpoint}: ${why}`;
  return new LoraFleetError("model_not_found", message, { param: "model", cause });
}

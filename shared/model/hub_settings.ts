/** huggingface_hub's environment variables, read the same way by coordinator and worker. */
import { LoraFleetError, quote } from "../errors.ts";

export interface HubSettings {
  /** `HF_ENDPOINT`, without a slash at the end. */
  readonly endpoint: string;
  /** `HF_TOKEN`. */
  readonly token: string | null;
  /** `HF_HUB_OFFLINE`: use only what the cache holds. */
  readonly offline: boolean;
}

/** @throws LoraFleetError `usage` with param `HF_ENDPOINT` if that is no http(s) URL */
export function readHubSettings(env: (name: string) => string | null): HubSettings {
  const endpoint = env("HF_ENDPOINT") ?? "https://huggingface.co";
  const url = URL.parse(endpoint);
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.hostname === "") {
    throw new LoraFleetError(
      "usage",
      `HF_ENDPOINT is ${quote(endpoint)}; a URL that begins with http:// or https:// is needed`,
      { param: "HF_ENDPOINT" },
    );
  }
  return {
    endpoint: endpoint.replace(/\/+$/, ""),
    token: env("HF_TOKEN"),
    offline: /^(1|true|yes|on)$/i.test(env("HF_HUB_OFFLINE") ?? ""),
  };
}

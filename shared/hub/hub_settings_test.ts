import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { readHubSettings } from "./hub_settings.ts";

const read = (variables: Record<string, string>, files: Record<string, string> = {}) =>
  readHubSettings((name) => variables[name] ?? null, (path) => files[path] ?? null);

Deno.test("without variables the hub is the public one, online and without a token", () => {
  assertEquals(read({ HOME: "/home/me" }), {
    endpoint: "https://huggingface.co",
    token: null,
    offline: false,
    cacheFolder: "/home/me/.cache/huggingface/hub",
  });
});

Deno.test("a mirror, a token, a cache, and no network", () => {
  const variables = { HF_ENDPOINT: "http://mirror:1/hf//", HF_TOKEN: "hf_x", HF_HUB_OFFLINE: "True" };
  assertEquals(read({ ...variables, HF_HUB_CACHE: "/cache", HF_HOME: "/hf" }), {
    endpoint: "http://mirror:1/hf",
    token: "hf_x",
    offline: true,
    cacheFolder: "/cache",
  });
  assertEquals(read({ HF_HOME: "/hf" }).cacheFolder, "/hf/hub");
  assertEquals(read({ XDG_CACHE_HOME: "/xdg" }).cacheFolder, "/xdg/huggingface/hub");
});

Deno.test("a token that hf auth login stored is used, after HF_TOKEN", () => {
  const files = { "/hf/token": "hf_stored\n", "/other": "hf_other\n" };
  assertEquals(read({ HF_HOME: "/hf" }, files).token, "hf_stored");
  assertEquals(read({ HF_HOME: "/hf", HF_TOKEN_PATH: "/other" }, files).token, "hf_other");
  assertEquals(read({ HF_HOME: "/hf", HF_TOKEN: "hf_own" }, files).token, "hf_own");
  assertEquals(read({ HF_HOME: "/hf" }, { "/hf/token": "\n" }).token, null);
});

Deno.test("an endpoint that is no URL is refused with what is needed", () => {
  for (const endpoint of ["mirror:1", "ftp://mirror", "/hub", "http://"]) {
    const error = assertThrows(
      () => read({ HF_ENDPOINT: endpoint }),
      LoraFleetError,
      JSON.stringify(endpoint),
    );
    assertEquals([error.code, error.param], ["usage", "HF_ENDPOINT"]);
  }
});

import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { readHubSettings } from "./hub_settings.ts";

const read = (variables: Record<string, string>) => readHubSettings((name) => variables[name] ?? null);

Deno.test("without variables the hub is the public one, online and without a token", () => {
  assertEquals(read({}), { endpoint: "https://huggingface.co", token: null, offline: false });
});

Deno.test("a mirror, a token, and no network", () => {
  assertEquals(
    read({ HF_ENDPOINT: "http://mirror:1/hf//", HF_TOKEN: "hf_x", HF_HUB_OFFLINE: "True" }),
    { endpoint: "http://mirror:1/hf", token: "hf_x", offline: true },
  );
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

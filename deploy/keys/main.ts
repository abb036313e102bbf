/** `deno task keys`: lists, creates, changes and revokes API keys of a running coordinator. */
import { ApiClient } from "../client/api_client.ts";
import { runCommand, runMain } from "../machine/command.ts";
import { runKeysCommand } from "./keys.ts";
import { type KeysOptions, parseKeysOptions, USAGE } from "./options.ts";

function main({ url, command }: KeysOptions): Promise<number> {
  return runCommand("keys", async ({ signal }) => {
    const api = new ApiClient(url, signal, Deno.env.get("LORAFLEET_API_KEY") || null);
    console.log(await runKeysCommand(api, command));
  });
}

await runMain("keys", USAGE, parseKeysOptions, main);

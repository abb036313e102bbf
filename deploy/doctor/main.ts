/** `deno task doctor`: what is wrong on this machine, and what to do. Exit codes: 0 all is well, 1 a check fails, 2 usage. */
import { dirname, fromFileUrl, join } from "@std/path";
import { readHubSettings } from "../../shared/hub/hub_settings.ts";
import { runMain } from "../machine/command.ts";
import { examine } from "./doctor.ts";
import { type DoctorOptions, parseDoctorOptions, USAGE } from "./options.ts";
import { jsonReport, textReport } from "./report.ts";
import { knownVariables } from "./variables.ts";
import { thisWorld } from "./world.ts";

const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

async function main({ coordinator, isJson }: DoctorOptions): Promise<number> {
  const world = thisWorld();
  const variables = await knownVariables((path) => Deno.readTextFile(join(root, path)));
  const url = coordinator ?? world.env("LORAFLEET_JOIN");
  const findings = await examine(world, url, variables);
  const keys = world.env("LORAFLEET_API_KEY")?.split(",") ?? [];
  const token = url === null ? null : /\/join\/([^/]+)$/.exec(new URL(url).pathname)?.[1] ?? null;
  const secrets = [...keys, token, world.env("LORAFLEET_JOIN_TOKEN"), readHubSettings(world.env).token];
  console.log(isJson ? jsonReport(findings, secrets) : textReport(findings, secrets));
  return findings.some(({ verdict }) => verdict === "problem") ? 1 : 0;
}

await runMain("doctor", USAGE, parseDoctorOptions, main);

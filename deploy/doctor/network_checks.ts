/** The coordinator that this machine is to work with, its clock, and the hub. */
import { z } from "zod";
import { messageOf } from "../../shared/errors.ts";
import { readHubSettings } from "../../shared/hub/hub_settings.ts";
import { VERSION } from "../../shared/protocol/release.ts";
import { type Finding, note, ok, problem } from "./finding.ts";
import type { World } from "./world.ts";

/** Certificates, tokens and signed URLs are dated; half a minute is what they forgive. */
const MAX_CLOCK_ERROR_MS = 30_000;

/** Of GET /openapi.json. */
const descriptionSchema = z.object({ info: z.object({ version: z.string() }) });
const readySchema = z.object({ checks: z.record(z.string(), z.string()) });

/** @param url the API's, or a join URL */
export async function checkCoordinator(world: World, url: string): Promise<readonly Finding[]> {
  const { origin } = new URL(url);
  let ready: Response;
  try {
    ready = await world.fetch(`${origin}/readyz`);
  } catch (thrown) {
    const advice =
      "is it started, is its --host 0.0.0.0, does a firewall or a missing port mapping lie between?";
    return [problem("coordinator", `${origin} does not answer: ${messageOf(thrown)}`, advice)];
  }
  const text = await ready.text();
  const parsed = readySchema.safeParse(jsonOf(text));
  if (!parsed.success) {
    const advice =
      "something else listens there, or a proxy answers: compare the URL that the coordinator printed";
    return [problem("coordinator", `${origin} answers ${ready.status}, but is no coordinator`, advice)];
  }
  const failed = Object.entries(parsed.data.checks).filter(([, state]) => state !== "ok");
  const findings = failed.map(([check, state]) =>
    problem("coordinator", `${check}: ${state}`, "docs/operations.md")
  );
  const well = failed.length === 0 ? [ok("coordinator", `${origin} is ready`)] : [];
  return [
    ...[...well, ...findings, clockFinding(world, ready)],
    ...await releaseFindings(world, origin),
    await keyFinding(world, origin),
  ];
}

/** None if both are the same release, or the coordinator does not say which it is. */
async function releaseFindings(world: World, origin: string): Promise<readonly Finding[]> {
  const text = await world.fetch(`${origin}/openapi.json`).then((answer) => answer.text(), () => "");
  const parsed = descriptionSchema.safeParse(jsonOf(text));
  if (!parsed.success || parsed.data.info.version === VERSION) return [];
  const { version } = parsed.data.info;
  const found = `${version}, and this is ${VERSION}`;
  return [note("release", found, "docs/releases.md says which work together: the coordinator goes first")];
}

function clockFinding(world: World, { headers }: Response): Finding {
  const there = Date.parse(headers.get("date") ?? "");
  if (Number.isNaN(there)) return note("clock", "the coordinator's answer has no date to compare with");
  const error = Math.abs(world.now() - there);
  if (error <= MAX_CLOCK_ERROR_MS) return ok("clock", "as the coordinator's");
  const found = `${Math.round(error / 1000)} s ${
    world.now() > there ? "ahead of" : "behind"
  } the coordinator's`;
  return problem("clock", found, "tokens and certificates seem expired or not yet valid: set it by NTP");
}

async function keyFinding(world: World, origin: string): Promise<Finding> {
  const key = world.env("LORAFLEET_API_KEY");
  const headers = key === null ? {} : { authorization: `Bearer ${key.split(",")[0]}` };
  const { status } = await world.fetch(`${origin}/v1/workers`, { headers }).then(async (response) => {
    await response.body?.cancel();
    return response;
  });
  if (status === 200) return ok("API key", key === null ? "none is needed" : "accepted");
  if (key === null) {
    return note("API key", "LORAFLEET_API_KEY is not set", "the API wants one; workers do not");
  }
  return problem(
    "API key",
    `the coordinator refuses it (${status})`,
    "deno task keys list, with an admin's key",
  );
}

export async function checkHub(world: World): Promise<readonly Finding[]> {
  const { endpoint, token, offline } = readHubSettings((name) => world.env(name));
  if (offline) return [note("hub", "HF_HUB_OFFLINE is set: only what the cache holds is used")];
  try {
    const headers = token === null ? {} : { authorization: `Bearer ${token}` };
    const path = token === null ? "/api/models?limit=1" : "/api/whoami-v2";
    const response = await world.fetch(`${endpoint}${path}`, { headers });
    const text = await response.text();
    if (response.ok) return [ok("hub", `${endpoint} answers${token === null ? "" : ` ${nameIn(text)}`}`)];
    if (response.status === 401) {
      return [problem("hub", "HF_TOKEN is not valid", `make a new one at ${endpoint}/settings/tokens`)];
    }
    return [
      problem("hub", `${endpoint} answers ${response.status}`, "try again, or set HF_ENDPOINT to a mirror"),
    ];
  } catch (thrown) {
    const advice = "local model folders work without it; else check the network, HF_ENDPOINT or a proxy";
    return [note("hub", `${endpoint} does not answer: ${messageOf(thrown)}`, advice)];
  }
}

function nameIn(text: string): string {
  const parsed = z.object({ name: z.string() }).safeParse(jsonOf(text));
  return parsed.success ? `to ${parsed.data.name}` : "";
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

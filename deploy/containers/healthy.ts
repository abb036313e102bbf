/**
 * The health check of the images: `healthy.ts coordinator|worker …` exits with 0 if all of the named are well, with 1 and a line
 * for the first that is not.
 */
import { systemClock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";

/** Heartbeats renew the file every five seconds; a loading worker sends them, too. */
const MAX_AGE_MS = 60_000;

/** Null if all is well. */
async function coordinatorProblem(): Promise<string | null> {
  const port = Deno.env.get("LORAFLEET_PORT") || "8787";
  const scheme = Deno.env.get("LORAFLEET_TLS_CERT") ? "https" : "http";
  const answer = await fetch(`${scheme}://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(4000) });
  await answer.body?.cancel();
  return answer.ok ? null : `/healthz answers ${answer.status}`;
}

async function workerProblem(): Promise<string | null> {
  const path = Deno.env.get("LORAFLEET_ALIVE_FILE");
  if (!path) return "LORAFLEET_ALIVE_FILE is not set";
  const text = await Deno.readTextFile(path).then((text) => text.trim(), () => "");
  if (text === "") return "it has sent no heartbeat yet";
  const beatAt = Date.parse(text);
  // A worker that has failed writes why.
  if (Number.isNaN(beatAt)) return text;
  const age = systemClock.now() - beatAt;
  return age <= MAX_AGE_MS ? null : `the last heartbeat is ${Math.round(age / 1000)} s old`;
}

const CHECKS: Readonly<Record<string, () => Promise<string | null>>> = {
  coordinator: coordinatorProblem,
  worker: workerProblem,
};

async function main(names: readonly string[]): Promise<number> {
  for (const name of names) {
    const check = CHECKS[name] ?? (() => Promise.resolve("coordinator and worker are known"));
    const problem = await check().catch(messageOf);
    if (problem === null) continue;
    console.error(`${name}: ${problem}`);
    return 1;
  }
  return 0;
}

Deno.exit(await main(Deno.args));

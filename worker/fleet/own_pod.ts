/** A worker that leaves by itself removes the RunPod pod it runs on: a pod whose program ends starts it again, and goes on costing. */
import { z } from "zod";
import type { Clock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import type { Log } from "../../shared/log.ts";

export interface OwnPod {
  readonly id: string;
  /** The pod's own key, which RunPod puts into its environment. */
  readonly apiKey: string;
  /** Without a path. */
  readonly apiUrl: string;
}

export interface RemovalOptions {
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long the log of a failed worker can be read before its pod is removed. */
const FAILED_POD_MS = 300_000;
const [ATTEMPTS, FIRST_PAUSE_MS] = [6, 2000];

/**
 * Whether RunPod has confirmed it. The pod ends with everything on it, this process included, so that a caller may never see
 * the answer.
 */
export async function removeOwnPod(pod: OwnPod, { fetch, clock, log }: RemovalOptions): Promise<boolean> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const answer = await removeOnce(pod, fetch);
    if (answer === null) {
      log("info", `pod ${pod.id} is removed`);
      return true;
    }
    const isLast = attempt === ATTEMPTS || answer.isFinal;
    log("warn", `removing pod ${pod.id} failed: ${answer.message}${isLast ? "" : "; trying again"}`);
    if (isLast) break;
    await clock.sleep(FIRST_PAUSE_MS * 2 ** (attempt - 1));
  }
  log("error", `pod ${pod.id} still costs money: remove it with deno task deploy:runpod down`);
  return false;
}

/** Of a worker that has failed, such as one without a driver: once its log could be read. */
export async function removeFailedPod(pod: OwnPod, reason: string, options: RemovalOptions): Promise<void> {
  options.log("error", `${reason}; this pod is removed in ${FAILED_POD_MS / 60_000} min`);
  await options.clock.sleep(FAILED_POD_MS);
  await removeOwnPod(pod, options);
}

interface Failure {
  readonly message: string;
  readonly isFinal: boolean;
}

/** Null: it is gone. */
async function removeOnce(pod: OwnPod, fetch: RemovalOptions["fetch"]): Promise<Failure | null> {
  const { id, apiKey, apiUrl } = pod;
  try {
    const response = await fetch(`${apiUrl}/v2/pods/${encodeURIComponent(id)}`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.timeout(30_000),
    });
    await response.body?.cancel();
    if (response.ok || response.status === 404) return null;
    const message = `RunPod answers ${response.status}`;
    if (![401, 403].includes(response.status)) return { message, isFinal: false };
    const refusal = await terminate(pod, fetch);
    return refusal === null ? null : { message: `${message}, and to podTerminate ${refusal}`, isFinal: true };
  } catch (thrown) {
    return { message: messageOf(thrown), isFinal: false };
  }
}

const TERMINATE = "mutation Terminate($input: PodTerminateInput!) { podTerminate(input: $input) }";

/**
 * What RunPod's own runpodctl does on a pod, where it has the pod's key; whether REST v2 takes that key is not documented. Null: it
 * is gone. Rejects without an answer.
 */
async function terminate(
  { id, apiKey, apiUrl }: OwnPod,
  fetch: RemovalOptions["fetch"],
): Promise<string | null> {
  const response = await fetch(`${apiUrl}/graphql`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ query: TERMINATE, variables: { input: { podId: id } } }),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await response.text();
  if (!response.ok) return String(response.status);
  const errors = answerSchema.parse(JSON.parse(text)).errors ?? [];
  return errors.length === 0 ? null : errors.map(({ message }) => message).join("; ");
}

const answerSchema = z.object({ errors: z.array(z.object({ message: z.string() })).nullish() });

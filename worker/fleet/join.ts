/** The join URL: one HTTP request returns the broker's address and the worker's credentials for it (decision 0002). */
import { z } from "zod";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { redactForms } from "../../shared/redact.ts";
import { withDeadline } from "../async/abortable.ts";
import type { Fetch } from "../transfer/http.ts";

const joinReplySchema = z.object({
  natsUrl: z.string().min(1),
  /** Empty if the broker needs none. */
  natsUser: z.string(),
  natsPassword: z.string(),
  /** Whether the broker authenticates this worker by token and key (decision 0010). */
  natsTakesToken: z.boolean().optional(),
  /** The authority that signed the broker's certificate, if it is not one of the system's. */
  natsTlsCa: z.string().optional(),
  /** The domain of the broker's streams, if they are not its own. */
  natsDomain: z.string().optional(),
  httpUrl: z.url(),
  /** The worker's bearer token for the coordinator, signed for its key. */
  token: z.string().min(1),
  /** The time until the token expires. */
  tokenLifetimeMs: z.number().positive().optional(),
  coordinatorId: z.string(),
});
export type JoinReply = z.output<typeof joinReplySchema>;

export interface JoinOptions {
  readonly url: string;
  /** Of this worker's key pair. */
  readonly publicKey: string;
  /** The worker's current token, which keeps it in the fleet; null before the first. */
  readonly token: string | null;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Asks once. Rejects with code `unauthorized` if the token is wrong, which no retry will change, and with code `timeout` if the
 * coordinator does not answer or answers with something else.
 */
export async function askJoinUrl(options: JoinOptions): Promise<JoinReply> {
  const { url, publicKey, token, fetch, clock, timeoutMs, signal } = options;
  // The last part of the URL is a secret.
  const where = quote(`${new URL(url).origin}/join/…`);
  const failed = (what: string, cause?: unknown) =>
    new LoraFleetError("timeout", `cannot join at ${where}: ${what}`, { cause });
  let status: number;
  let body: string;
  try {
    [status, body] = await withDeadline(clock, timeoutMs, `asking ${where}`, signal, async (signal) => {
      const response = await fetch(url, {
        method: "POST",
        signal,
        // A coordinator answers itself: a redirect could steal the token.
        redirect: "error",
        headers: {
          ...{ accept: "application/json", "content-type": "application/json" },
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        },
        body: JSON.stringify({ publicKey }),
      });
      return [response.status, await response.text()];
    });
  } catch (thrown) {
    signal.throwIfAborted();
    throw failed(reasonOfFetch(thrown), thrown);
  }
  if (status === 401 || status === 403) {
    const message = `cannot join at ${where}: the coordinator refuses this worker (${status}): ${
      reasonOf(body)
    }`;
    throw new LoraFleetError("unauthorized", message, { param: "join" });
  }
  if (status !== 200) throw failed(`the answer is ${status} ${quote(body)}, but 200 is expected`);
  const parsed = joinReplySchema.safeParse(parseJson(body));
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw failed(`the answer does not come from a coordinator: ${quote(path.join("."))}: ${message}`);
}

/** Whether both replies lead to the same broker as the same user. */
export function sameBroker(a: JoinReply, b: JoinReply): boolean {
  return a.natsUrl === b.natsUrl && a.natsUser === b.natsUser && a.natsPassword === b.natsPassword &&
    a.natsTakesToken === b.natsTakesToken && a.natsDomain === b.natsDomain;
}

/** Messages of a failing `fetch`, and what the user should check. */
const FETCH_FAILURES: readonly (readonly [RegExp, string])[] = [
  [/connection refused/i, "nothing listens there: is the coordinator running, and is this its port?"],
  [/dns error|failed to lookup|name resolution/i, "the host name does not resolve: is it spelled right?"],
  [/InvalidContentType/i, "the port does not speak TLS: is it http:// instead of https://?"],
  [
    /unexpected message|invalid HTTP/i,
    "the port does not speak HTTP: is this the API port, not the broker's?",
  ],
  [
    /certificate|UnknownIssuer/i,
    "its certificate is not trusted: pass the authority that signed it with --tls-ca",
  ],
  [
    /no route|unreachable|timed out/i,
    "the host is unreachable: is there a firewall or a port mapping between?",
  ],
];

/** Why `fetch` failed: the reason is in the error's cause, together with the secret URL. */
function reasonOfFetch(thrown: unknown): string {
  const message = thrown instanceof Error && thrown.cause instanceof Error
    ? thrown.cause.message
    : messageOf(thrown);
  const hint = FETCH_FAILURES.find(([pattern]) => pattern.test(message))?.[1];
  // The innermost cause follows the last layer's name: "client error (Connect): tcp connect error: …".
  const cause = message.split(/client error \(\w+\): /).at(-1)!;
  return redactForms(hint === undefined ? cause : `${hint} (${cause})`);
}

const errorSchema = z.object({ error: z.object({ message: z.string().max(1000) }) });

/** The coordinator's own reason, or advice. */
function reasonOf(body: string): string {
  const parsed = errorSchema.safeParse(parseJson(body));
  return parsed.success
    ? parsed.data.error.message
    : "the join token is wrong; the coordinator prints the right line when it starts";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The join URL: one question over HTTP tells where the broker is and who the worker is there (decision 0002). */
import { z } from "zod";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { redactForms } from "../../shared/redact.ts";
import { withDeadline } from "../async/abortable.ts";
import type { Fetch } from "../transfer/http.ts";

const joinReplySchema = z.object({
  natsUrl: z.string().min(1),
  /** Empty where the broker asks for none. */
  natsUser: z.string(),
  natsPassword: z.string(),
  /** Whether the broker knows this worker by its token and its key (decision 0010). */
  natsTakesToken: z.boolean().optional(),
  /** The authority that has signed the broker's certificate, where the system does not know it. */
  natsTlsCa: z.string().optional(),
  httpUrl: z.url(),
  /** Signed for this worker's key: its bearer token at the coordinator. */
  token: z.string().min(1),
  /** When the next token has to be there. */
  tokenLifetimeMs: z.number().positive().optional(),
  coordinatorId: z.string(),
});
export type JoinReply = z.output<typeof joinReplySchema>;

export interface JoinOptions {
  readonly url: string;
  /** Of this worker's key; the secret part is not told. */
  readonly publicKey: string;
  /** The token that it has; null before the first. With it a worker that is in the fleet stays there. */
  readonly token: string | null;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Asks once. Rejects with code `unauthorized` where the token is not the right one, which no repetition will change, and
 * with code `timeout` where the coordinator does not answer or answers with something else.
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
        // A coordinator answers itself; whoever sends us elsewhere wants our token there.
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
    throw new LoraFleetError(
      "unauthorized",
      `cannot join at ${where}: the coordinator refuses this worker (${status}): ${reasonOf(body)}`,
      { param: "join" },
    );
  }
  if (status !== 200) throw failed(`the answer is ${status} ${quote(body)}, where 200 is expected`);
  const parsed = joinReplySchema.safeParse(parseJson(body));
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw failed(`the answer is no coordinator's: ${quote(path.join("."))}: ${message}`);
}

/** Whether both replies lead to the same broker as the same user. */
export function sameBroker(a: JoinReply, b: JoinReply): boolean {
  return a.natsUrl === b.natsUrl && a.natsUser === b.natsUser && a.natsPassword === b.natsPassword &&
    a.natsTakesToken === b.natsTakesToken;
}

/** What `fetch` says when it does not come to an answer, and what a person has to look at then. */
const FETCH_FAILURES: readonly (readonly [RegExp, string])[] = [
  [/connection refused/i, "nothing listens there: is the coordinator running, and is this its port?"],
  [/dns error|failed to lookup|name resolution/i, "the host's name is not known: is it spelled right?"],
  [/InvalidContentType/i, "the port does not speak TLS: is it http:// instead of https://?"],
  [
    /unexpected message|invalid HTTP/i,
    "what listens there speaks no HTTP: is this the coordinator's API port, not its broker's?",
  ],
  [
    /certificate|UnknownIssuer/i,
    "its certificate is not trusted: --tls-ca names the authority that has signed it",
  ],
  [/no route|unreachable|timed out/i, "no way leads there: is a firewall or a port mapping between?"],
];

/** Why `fetch` failed, which it says only in its error's cause, and which holds the URL with its secret. */
function reasonOfFetch(thrown: unknown): string {
  const message = thrown instanceof Error && thrown.cause instanceof Error
    ? thrown.cause.message
    : messageOf(thrown);
  const hint = FETCH_FAILURES.find(([pattern]) => pattern.test(message))?.[1];
  // The innermost cause stands behind the last name of a layer: "client error (Connect): tcp connect error: …".
  const cause = message.split(/client error \(\w+\): /).at(-1)!;
  return redactForms(hint === undefined ? cause : `${hint} (${cause})`);
}

const errorSchema = z.object({ error: z.object({ message: z.string().max(1000) }) });

/** What the coordinator says about it, or what would be right. */
function reasonOf(body: string): string {
  const parsed = errorSchema.safeParse(parseJson(body));
  return parsed.success
    ? parsed.data.error.message
    : "the join token is not the right one; the coordinator prints the line with it when it starts";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

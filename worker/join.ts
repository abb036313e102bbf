/** The join URL: one question over HTTP tells where the broker is and who the worker is there (decision 0002). */
import { z } from "zod";
import type { Clock } from "../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import { withDeadline } from "./abortable.ts";

/** What this part of the program needs of `fetch`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const joinReplySchema = z.object({
  natsUrl: z.string().min(1),
  /** Empty where the broker asks for none. */
  natsUser: z.string(),
  natsPassword: z.string(),
  httpUrl: z.url(),
  token: z.string().min(1),
  coordinatorId: z.string(),
});
export type JoinReply = z.output<typeof joinReplySchema>;

export interface JoinOptions {
  readonly url: string;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Asks once. Rejects with code `unauthorized` where the token is not the right one, which no repetition will change, and
 * with code `timeout` where the coordinator does not answer or answers with something else.
 */
export async function askJoinUrl({ url, fetch, clock, timeoutMs, signal }: JoinOptions): Promise<JoinReply> {
  // The last part of the URL is a secret.
  const where = quote(`${new URL(url).origin}/join/…`);
  const failed = (what: string, cause?: unknown) =>
    new LoraFleetError("timeout", `cannot join at ${where}: ${what}`, { cause });
  let status: number;
  let body: string;
  try {
    [status, body] = await withDeadline(clock, timeoutMs, `asking ${where}`, signal, async (signal) => {
      const response = await fetch(url, { signal, headers: { accept: "application/json" } });
      return [response.status, await response.text()];
    });
  } catch (thrown) {
    signal.throwIfAborted();
    throw failed(messageOf(thrown), thrown);
  }
  if (status === 401 || status === 403) {
    throw new LoraFleetError(
      "unauthorized",
      `cannot join at ${where}: the coordinator refuses the token (${status}); it prints the line with the right one ` +
        "when it starts",
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
  return a.natsUrl === b.natsUrl && a.natsUser === b.natsUser && a.natsPassword === b.natsPassword;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

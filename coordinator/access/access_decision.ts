/** Who may join. Pure: token, worker and time → yes, or why not and what to do. */
import type { JoinedWorker, JoinTokenRecord } from "./access_store.ts";

export interface JoinAttempt {
  /** The join URL's token; null if it is unknown. */
  readonly token: JoinTokenRecord | null;
  /** The worker with this public key; null if it has never joined. */
  readonly known: JoinedWorker | null;
  /** Whether it presents a valid credential: it is in the fleet already and may stay. */
  readonly isMember: boolean;
}

interface JoinDecision {
  readonly isAllowed: boolean;
  readonly reason: string;
}

const ASK =
  "ask for a new one: the coordinator prints a join URL when it starts, and POST /v1/join-tokens makes one";

export function decideJoin({ token, known, isMember }: JoinAttempt, now: number): JoinDecision {
  if (known !== null && known.revokedAt !== null) {
    return no(`worker ${known.worker} was revoked ${ago(known.revokedAt, now)}: it can no longer join`);
  }
  // A token that expires, or is revoked without its workers, keeps out new workers only.
  if (isMember) return { isAllowed: true, reason: "it is in the fleet already" };
  if (token === null) return no(`the join token is not valid; ${ASK}`);
  const name = `the join token "${token.name}"`;
  if (token.revokedAt !== null) return no(`${name} was revoked ${ago(token.revokedAt, now)}; ${ASK}`);
  if (token.expiresAt !== null && token.expiresAt <= now) {
    return no(`${name} has expired ${ago(token.expiresAt, now)}; ${ASK}`);
  }
  return { isAllowed: true, reason: `${name} is good` };
}

function no(reason: string): JoinDecision {
  return { isAllowed: false, reason };
}

function ago(then: number, now: number): string {
  const seconds = Math.max(0, Math.floor((now - then) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
}

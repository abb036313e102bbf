/** Sorts the errors of the NATS client and turns them into `LoraFleetError`s. */
import {
  AuthorizationError,
  ClosedConnectionError,
  DrainingConnectionError,
  NoRespondersError,
  RequestError,
  TimeoutError,
} from "@nats-io/transport-node";
import { JetStreamApiError } from "@nats-io/jetstream";
import { LoraFleetError, messageOf } from "../errors.ts";

// Error codes of the JetStream API (nats-server, errors.json).
const WRONG_LAST_SEQUENCE = [10071, 10164];
/** Of a consumer; of a stream. */
const NOT_FOUND = [10014, 10059];
/** A stream has these subjects already: mostly the same one, which a different client is creating right now. */
const OVERLAP = [10065];
/** Insufficient resources; storage; storage of the account; maximum of messages or bytes. */
const NO_ROOM = [10023, 10047, 10028, 10077, 10122];
/**
 * JetStream starts or recovers, or a leader moves within a cluster: temporarily unavailable; not available yet in a cluster; the
 * stream or consumer has no leader; this server does not lead; the same message is being stored; a member is changing.
 */
const NOT_YET = [10004, 10007, 10008, 10009, 10041, 10118, 10119, 10158, 10163, 10202];
/** Fewer servers than replicas: no cluster; no suitable peers. */
const TOO_FEW_SERVERS = [10074, 10005];
/** JetStream is not enabled: on the server; for the account. */
const NO_JETSTREAM = [10076, 10039];

function hasCode(thrown: unknown, codes: readonly number[]): boolean {
  return thrown instanceof JetStreamApiError && codes.includes(thrown.code);
}

/** Whether the request had no subscriber. */
export function isNoResponders(thrown: unknown): boolean {
  for (let at = thrown; at instanceof Error; at = at.cause) {
    if (at instanceof NoRespondersError) return true;
  }
  return false;
}

/** Whether the connection was closed on our side. */
export function isClosed(thrown: unknown): boolean {
  return thrown instanceof ClosedConnectionError || thrown instanceof DrainingConnectionError ||
    (thrown instanceof RequestError && thrown.message === "connection closed");
}

/** Whether the same request may succeed later: no answer, no subscriber yet, or a broken connection. */
export function isTransient(thrown: unknown): boolean {
  if (isClosed(thrown)) return false;
  if (thrown instanceof JetStreamApiError) return hasCode(thrown, NOT_YET);
  return thrown instanceof TimeoutError || thrown instanceof RequestError || isNoResponders(thrown);
}

export function isNotFound(thrown: unknown): boolean {
  return hasCode(thrown, NOT_FOUND);
}

/** Whether the broker has fewer servers than the stream should have replicas. */
export function isTooFewServers(thrown: unknown): boolean {
  return hasCode(thrown, TOO_FEW_SERVERS);
}

/** Whether the broker answered that streams are not allowed here; a cluster without a quorum gives no answer. */
export function isWithoutJetStream(thrown: unknown): boolean {
  for (let at = thrown; at instanceof Error; at = at.cause) {
    if (hasCode(at, NO_JETSTREAM)) return true;
  }
  return false;
}

/** Whether a different stream has the subjects of a stream to be created. */
export function isOverlap(thrown: unknown): boolean {
  return hasCode(thrown, OVERLAP);
}

/** Whether a compare-and-set found a different last sequence than expected. */
export function isWrongRevision(thrown: unknown): boolean {
  return hasCode(thrown, WRONG_LAST_SEQUENCE);
}

/** `attempted` begins the message: "cannot append to lf.job.commits". A `LoraFleetError` stays unchanged. */
export function toLoraFleetError(
  attempted: string,
  thrown: unknown,
  reason: string = messageOf(thrown),
): LoraFleetError {
  if (thrown instanceof LoraFleetError) return thrown;
  return new LoraFleetError(codeOf(thrown), `${attempted}: ${reason}`, { cause: thrown });
}

function codeOf(thrown: unknown) {
  if (isClosed(thrown)) return "aborted";
  if (thrown instanceof AuthorizationError) return "unauthorized";
  if (isNotFound(thrown)) return "not_found";
  if (thrown instanceof JetStreamApiError) {
    if (isWrongRevision(thrown)) return "conflict";
    if (hasCode(thrown, NO_ROOM) || /no space left|no such file|i\/o error/i.test(thrown.message)) {
      return "storage";
    }
    // What the server cannot do now (5xx) is no fault of the request (4xx).
    return hasCode(thrown, NOT_YET) || thrown.status >= 500 ? "timeout" : "invalid_request";
  }
  return "timeout";
}

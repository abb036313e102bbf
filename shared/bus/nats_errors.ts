/** What the NATS client throws, as `LoraFleetError`s. */
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

/** Error codes of the JetStream API (nats-server, errors.json). Wrong last sequence: this one; a constant one. */
const WRONG_LAST_SEQUENCE = new Set([10071, 10164]);
const CONSUMER_NOT_FOUND = 10014;
const STREAM_NOT_FOUND = 10059;
/** A stream takes these subjects already: mostly the same stream, which somebody else is creating at this moment. */
const OVERLAP = 10065;
/** Insufficient resources; storage; storage of the account; maximum of messages or bytes. */
const NO_ROOM = new Set([10023, 10047, 10028, 10077, 10122]);
/** JetStream starts or recovers: temporarily unavailable; not available yet in a cluster; no leader. */
const NOT_YET = new Set([10008, 10041, 10118]);

/** Whether the broker found no subscriber, and so delivered the request to nobody. */
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

/** Whether the same request may succeed later: no answer, nobody there yet, or a connection that broke meanwhile. */
export function isTransient(thrown: unknown): boolean {
  if (isClosed(thrown)) return false;
  if (thrown instanceof JetStreamApiError) return NOT_YET.has(thrown.code);
  return thrown instanceof TimeoutError || thrown instanceof RequestError || isNoResponders(thrown);
}

export function isNotFound(thrown: unknown): boolean {
  return thrown instanceof JetStreamApiError &&
    (thrown.code === STREAM_NOT_FOUND || thrown.code === CONSUMER_NOT_FOUND);
}

/** Whether another stream has the subjects of one that was to be created. */
export function isOverlap(thrown: unknown): boolean {
  return thrown instanceof JetStreamApiError && thrown.code === OVERLAP;
}

/** Whether a compare-and-set has found another last sequence than the one that it expected. */
export function isWrongRevision(thrown: unknown): boolean {
  return thrown instanceof JetStreamApiError && WRONG_LAST_SEQUENCE.has(thrown.code);
}

/** `attempted` begins the message: "cannot append to lf.job.commits". A `LoraFleetError` stays what it is. */
export function toLoraFleetError(attempted: string, thrown: unknown): LoraFleetError {
  if (thrown instanceof LoraFleetError) return thrown;
  const message = `${attempted}: ${messageOf(thrown)}`;
  return new LoraFleetError(codeOf(thrown), message, { cause: thrown });
}

function codeOf(thrown: unknown) {
  if (isClosed(thrown)) return "aborted";
  if (thrown instanceof AuthorizationError) return "unauthorized";
  if (isNotFound(thrown)) return "not_found";
  if (thrown instanceof JetStreamApiError) {
    if (isWrongRevision(thrown)) return "conflict";
    if (NO_ROOM.has(thrown.code) || /no space left|no such file|i\/o error/i.test(thrown.message)) {
      return "storage";
    }
    // What the server cannot do now (5xx) is not wrong with the request (4xx).
    return NOT_YET.has(thrown.code) || thrown.status >= 500 ? "timeout" : "invalid_request";
  }
  return "timeout";
}

/** NKeys, NATS's Ed25519 key pairs: a client proves at each connection to the broker that it has the secret key. */
import { nkeys } from "@nats-io/transport-node";
import { LoraFleetError, messageOf, quote } from "../errors.ts";

export type NatsKeyKind = "operator" | "account" | "user";

export interface NatsKeys {
  /** `O…`, `A…` or `U…`, by kind. */
  readonly publicKey: string;
  /** The secret key, as the text `S…`. */
  readonly seed: Uint8Array;
  sign(data: Uint8Array): Uint8Array;
}

/** What a client shows the broker: a token signed for its public key. */
export interface NatsIdentity {
  readonly keys: NatsKeys;
  /** The newest one; called at each connection. */
  readonly token: () => string;
}

const CREATE = { operator: nkeys.createOperator, account: nkeys.createAccount, user: nkeys.createUser };

export function createNatsKeys(kind: NatsKeyKind): NatsKeys {
  return keysOf(CREATE[kind]());
}

/** The keys of a seed `S…`. Throws a `LoraFleetError` with code `corrupt` that does not reveal the seed. */
export function natsKeysOfSeed(seed: string): NatsKeys {
  try {
    return keysOf(nkeys.fromSeed(new TextEncoder().encode(seed)));
  } catch (cause) {
    throw new LoraFleetError("corrupt", `a secret NATS key cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** Whether the owner of this public key signed `data`. Throws a `LoraFleetError` if it is no public key. */
export function isSignedBy(publicKey: string, data: Uint8Array, signature: Uint8Array): boolean {
  const key = publicPart(publicKey);
  try {
    return key.verify(data, signature);
  } catch {
    return false;
  }
}

/** Throws a `LoraFleetError` with code `invalid_request` for anything but the public key of a user. */
export function assertUserKey(publicKey: string): void {
  // The library ignores text behind a key, but a worker's id depends on all of it.
  if (/^U[A-Z2-7]{55}$/.test(publicKey)) publicPart(publicKey);
  else throw notAKey(publicKey);
}

function publicPart(publicKey: string): ReturnType<typeof nkeys.fromPublic> {
  try {
    return nkeys.fromPublic(publicKey);
  } catch (cause) {
    throw notAKey(publicKey, cause);
  }
}

function notAKey(publicKey: string, cause?: unknown): LoraFleetError {
  return new LoraFleetError(
    "invalid_request",
    `${quote(publicKey)} is no public key; an NKey of a user is needed: "U" and 55 letters and digits`,
    { param: "publicKey", cause },
  );
}

function keysOf(pair: ReturnType<typeof nkeys.createUser>): NatsKeys {
  return { publicKey: pair.getPublicKey(), seed: pair.getSeed(), sign: (data) => pair.sign(data) };
}

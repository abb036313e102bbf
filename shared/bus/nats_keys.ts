/** Key pairs as NATS spells them (NKeys: Ed25519): who has the secret one proves it at each connection to the broker. */
import { nkeys } from "@nats-io/transport-node";
import { LoraFleetError, messageOf, quote } from "../errors.ts";

export type NatsKeyKind = "operator" | "account" | "user";

export interface NatsKeys {
  /** `O…`, `A…` or `U…`, by its kind. */
  readonly publicKey: string;
  /** The secret key, as the text `S…`. */
  readonly seed: Uint8Array;
  sign(data: Uint8Array): Uint8Array;
}

/** What a client shows the broker: a token that somebody has signed for its public key. */
export interface NatsIdentity {
  readonly keys: NatsKeys;
  /** The newest one: it is asked for at each connection. */
  readonly token: () => string;
}

const CREATE = {
  operator: nkeys.createOperator,
  account: nkeys.createAccount,
  user: nkeys.createUser,
} as const;

export function createNatsKeys(kind: NatsKeyKind): NatsKeys {
  return keysOf(CREATE[kind]());
}

/** The keys of a seed as `S…`. Throws a `LoraFleetError` with code `corrupt`; the seed is a secret and not told. */
export function natsKeysOfSeed(seed: string): NatsKeys {
  try {
    return keysOf(nkeys.fromSeed(new TextEncoder().encode(seed)));
  } catch (cause) {
    throw new LoraFleetError("corrupt", `a secret NATS key cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** Whether `signature` is the one of `data` by this public key. Throws a `LoraFleetError` for a key that is none. */
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
  // The library takes a key with more behind it for the same one, and an id follows from the text.
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
  return {
    publicKey: pair.getPublicKey(),
    seed: pair.getSeed(),
    sign: (data) => pair.sign(data),
  };
}

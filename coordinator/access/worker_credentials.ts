/**
 * A worker's credential for the broker and the coordinator: a token, signed for the worker's public key, with its identity and
 * the subjects that it may publish and subscribe to. The secret key never leaves the worker; the broker challenges it at each
 * connection.
 */
import { z } from "zod";
import { assertUserKey, type NatsKeys } from "../../shared/bus/nats_keys.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { type AccountSigner, issuerClaim, signerOf } from "../../shared/bus/nats_accounts.ts";
import { workerIdOf } from "../../shared/protocol/ids.ts";
import { workerRights } from "../../shared/protocol/subjects.ts";
import { readSigned, signClaims } from "../../shared/bus/nats_jwt.ts";

/** The worker named by a token. */
export interface WorkerIdentity {
  readonly worker: string;
  readonly publicKey: string;
  /** Like `expiresAt`: in milliseconds since 1970, at whole seconds. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** A worker may answer each request once, before the requester's timeout. */
const ANSWERS = { max: 1, ttl: 10 * 1e9 };

/** The largest chunk of a gradient (worker/allreduce/plan/chunk_plan.ts) with its header; the broker disconnects a worker that sends more. */
const MAX_PAYLOAD_BYTES = 2 * 2 ** 20 + 65_536;

const bodySchema = z.object({
  sub: z.string(),
  iat: z.int(),
  exp: z.int(),
  nats: z.object({ type: z.literal("user") }),
});

/** Throws `invalid_request` for a malformed key. */
export function issueCredential(
  account: NatsKeys | AccountSigner,
  publicKey: string,
  now: number,
  lifetimeMs: number,
): WorkerIdentity & { readonly token: string } {
  assertUserKey(publicKey);
  const worker = workerIdOf(publicKey);
  const { publish, subscribe } = workerRights(worker);
  const issuedAt = Math.floor(now / 1000);
  const expiresAt = Math.ceil((now + lifetimeMs) / 1000);
  const signer = signerOf(account);
  const token = signClaims(signer.keys, {
    ...{ name: worker, subject: publicKey, issuedAt, expiresAt },
    nats: {
      type: "user",
      version: 2,
      subs: -1,
      data: -1,
      payload: MAX_PAYLOAD_BYTES,
      pub: { allow: publish },
      sub: { allow: subscribe },
      resp: ANSWERS,
      ...issuerClaim(signer),
    },
  });
  return { worker, publicKey, issuedAt: 1000 * issuedAt, expiresAt: 1000 * expiresAt, token };
}

/** The owner of a token. Throws `unauthorized` if it is not ours or has expired. */
export function readCredential(accountKey: string, token: string, now: number): WorkerIdentity {
  const body = bodySchema.safeParse(readSigned(accountKey, token));
  if (!body.success) {
    throw new LoraFleetError("unauthorized", "the token was not signed for a worker");
  }
  const { sub, iat, exp } = body.data;
  if (1000 * exp <= now) {
    const since = Math.floor((now - 1000 * exp) / 1000);
    const message = `the worker's token has expired ${since} s ago: join again with the join URL`;
    throw new LoraFleetError("unauthorized", message);
  }
  return { worker: workerIdOf(sub), publicKey: sub, issuedAt: 1000 * iat, expiresAt: 1000 * exp };
}

/**
 * Signed tokens as nats-server reads them: JSON web tokens whose algorithm is "ed25519-nkey", with the claims under `nats`
 * (github.com/nats-io/jwt, version 2). The coordinator signs them and reads only its own.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { isSignedBy, type NatsKeys } from "./nats_keys.ts";
import { LoraFleetError } from "../errors.ts";

export interface NatsClaims {
  /** A public key. */
  readonly subject: string;
  readonly name: string;
  /** In seconds since 1970, as the next one. */
  readonly issuedAt: number;
  /** Null: never. */
  readonly expiresAt: number | null;
  /** The claims of this `nats.type`. */
  readonly nats: Readonly<Record<string, unknown>>;
}

const HEADER = { typ: "JWT", alg: "ed25519-nkey" };
const BASE64 = { alphabet: "base64url", omitPadding: true } as const;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const encoder = new TextEncoder();
const textOf = (data: Uint8Array) => new TextDecoder("utf-8", { fatal: true }).decode(data);
const part = (value: unknown) => encoder.encode(JSON.stringify(value)).toBase64(BASE64);

export function signClaims(issuer: NatsKeys, claims: NatsClaims): string {
  const body = {
    iss: issuer.publicKey,
    sub: claims.subject,
    name: claims.name,
    iat: claims.issuedAt,
    ...(claims.expiresAt === null ? {} : { exp: claims.expiresAt }),
    nats: claims.nats,
  };
  const jti = base32(createHash("sha256").update(JSON.stringify(body)).digest());
  const signed = `${part(HEADER)}.${part({ ...body, jti })}`;
  return `${signed}.${issuer.sign(encoder.encode(signed)).toBase64(BASE64)}`;
}

/** A token's claims as they are, without a check of its signature: for tokens that the broker is to check. */
export interface ReadClaims extends NatsClaims {
  /** A public key. */
  readonly issuer: string;
}

const claimsSchema = z.object({
  iss: z.string(),
  sub: z.string(),
  name: z.string().default(""),
  iat: z.int(),
  exp: z.int().optional(),
  nats: z.record(z.string(), z.unknown()),
});

/** Throws a `LoraFleetError` with code `corrupt` that does not reveal the token. */
export function readClaims(token: string): ReadClaims {
  try {
    const body = JSON.parse(textOf(Uint8Array.fromBase64(token.trim().split(".")[1] ?? "", BASE64)));
    const { iss, sub, name, iat, exp, nats } = claimsSchema.parse(body);
    return { issuer: iss, subject: sub, name, issuedAt: iat, expiresAt: exp ? exp : null, nats };
  } catch (cause) {
    throw new LoraFleetError("corrupt", "a NATS token cannot be read", { cause });
  }
}

/** The body of a token signed by `issuerKey`. Throws `unauthorized` for any other text. */
export function readSigned(issuerKey: string, token: string): unknown {
  const parts = token.split(".");
  try {
    const [header = "", body = "", signature = ""] = parts;
    const isOurs = parts.length === 3 && header === part(HEADER) &&
      isSignedBy(issuerKey, encoder.encode(`${header}.${body}`), Uint8Array.fromBase64(signature, BASE64));
    if (isOurs) return JSON.parse(textOf(Uint8Array.fromBase64(body, BASE64)));
  } catch {
    // Malformed, therefore not signed here.
  }
  throw new LoraFleetError("unauthorized", "the token was not signed by this coordinator");
}

/** As RFC 4648, without padding. */
function base32(data: Uint8Array): string {
  let text = "";
  let [value, bits] = [0, 0];
  for (const byte of data) {
    value = (value << 8 | byte) & 0xffff;
    for (bits += 8; bits >= 5; bits -= 5) text += BASE32[(value >>> (bits - 5)) & 31]!;
  }
  return bits === 0 ? text : text + BASE32[(value << (5 - bits)) & 31]!;
}

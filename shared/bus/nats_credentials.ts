/** Credentials files: a user's token and secret key, as `nsc` writes them and every NATS client reads them. */
import { LoraFleetError } from "../errors.ts";
import { readClaims } from "./nats_jwt.ts";
import { type NatsIdentity, natsKeysOfSeed } from "./nats_keys.ts";

/** A user's credentials with what their token says. */
export interface NatsCredentials {
  readonly identity: NatsIdentity;
  /** The public key of the user's account. */
  readonly account: string;
  /** In milliseconds since 1970; null: never. */
  readonly expiresAt: number | null;
}

/** The text of a `.creds` file. */
export function credentialsText({ keys, token }: NatsIdentity): string {
  return `-----BEGIN NATS USER JWT-----
${token()}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.
NKEYs are sensitive and should be treated as secrets.

-----BEGIN USER NKEY SEED-----
${new TextDecoder().decode(keys.seed)}
------END USER NKEY SEED------
`;
}

/** Throws a `LoraFleetError` with code `corrupt` that does not reveal what it has read. */
export function readCredentials(text: string): NatsCredentials {
  const [, token = ""] = /BEGIN NATS USER JWT-+\s+(\S+)\s/.exec(text) ?? [];
  const [, seed = ""] = /BEGIN USER NKEY SEED-+\s+(S[A-Z2-7]+)\s/.exec(text) ?? [];
  if (token === "" || seed === "") {
    const problem =
      'no credentials: they have a part "NATS USER JWT" and a part "USER NKEY SEED", as nsc writes them';
    throw new LoraFleetError("corrupt", problem);
  }
  const keys = natsKeysOfSeed(seed);
  const { issuer, subject, expiresAt, nats } = readClaims(token);
  if (subject !== keys.publicKey) {
    throw new LoraFleetError(
      "corrupt",
      "no credentials of one user: the token is for a different key than the one beside it",
    );
  }
  const account = typeof nats["issuer_account"] === "string" ? nats["issuer_account"] : issuer;
  return {
    identity: { keys, token: () => token },
    account,
    expiresAt: expiresAt === null ? null : 1000 * expiresAt,
  };
}

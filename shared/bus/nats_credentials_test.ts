import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { masterOf } from "./nats_accounts.ts";
import { credentialsText, readCredentials } from "./nats_credentials.ts";
import { signClaims } from "./nats_jwt.ts";
import { createNatsKeys } from "./nats_keys.ts";

const [account, signing, user] = [
  createNatsKeys("account"),
  createNatsKeys("account"),
  createNatsKeys("user"),
];

Deno.test("credentials are read as they were written, with the account of a signing key and their end", () => {
  const own = readCredentials(credentialsText(masterOf(account, user, 1000)));
  assertEquals([own.account, own.expiresAt], [account.publicKey, null]);
  assertEquals(own.identity.keys.publicKey, user.publicKey);
  const signer = { keys: signing, account: account.publicKey };
  const signed = masterOf(signer, user, 1000);
  assertEquals(readCredentials(credentialsText(signed)).account, account.publicKey);
  const short = signClaims(account, {
    ...{ subject: user.publicKey, name: "x", issuedAt: 1, expiresAt: 7 },
    nats: { type: "user", version: 2 },
  });
  assertEquals(readCredentials(credentialsText({ keys: user, token: () => short })).expiresAt, 7000);
});

Deno.test("a file that holds no credentials, or those of two users, is refused without its secrets", () => {
  const mixed = credentialsText({ keys: createNatsKeys("user"), token: masterOf(account, user, 1).token });
  const seed = new TextDecoder().decode(user.seed);
  for (const text of ["", seed, mixed, credentialsText({ keys: user, token: () => "a.b.c" })]) {
    const error = assertThrows(() => readCredentials(text), LoraFleetError);
    assertEquals([error.code, error.message.includes(seed)], ["corrupt", false]);
  }
});

import { assertEquals, assertThrows } from "@std/assert";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { workerIdOf } from "../../shared/protocol/ids.ts";
import { masterOf } from "../../shared/bus/nats_accounts.ts";
import { issueCredential, readCredential } from "./worker_credentials.ts";

const account = createNatsKeys("account");
const { publicKey } = createNatsKeys("user");
const now = 1_700_000_000_500;

Deno.test("a credential identifies its worker until it expires", () => {
  const { token, ...identity } = issueCredential(account, publicKey, now, 60_000);
  assertEquals(identity, {
    worker: workerIdOf(publicKey),
    publicKey,
    issuedAt: 1_700_000_000_000,
    expiresAt: 1_700_000_061_000,
  });
  assertEquals(readCredential(account.publicKey, token, now), identity);
  const late = assertThrows(
    () => readCredential(account.publicKey, token, identity.expiresAt + 5000),
    LoraFleetError,
    "has expired 5 s ago",
  );
  assertEquals(late.code, "unauthorized");
});

Deno.test("an altered token, or one signed by a different key or for a different purpose, is no credential", () => {
  const { token } = issueCredential(account, publicKey, now, 60_000);
  const [header, body, signature] = token.split(".") as [string, string, string];
  const other = issueCredential(createNatsKeys("account"), publicKey, now, 60_000).token;
  const forged = JSON.stringify({
    ...JSON.parse(atob(body.replaceAll("-", "+").replaceAll("_", "/"))),
    exp: 9e9,
  });
  const cases = [
    "",
    "..",
    header,
    `${header}.${body}`,
    `${header}.${body}.`,
    `${header}.${body}.${other.split(".")[2]}`,
    `${header}.${
      new TextEncoder().encode(forged).toBase64({ alphabet: "base64url", omitPadding: true })
    }.${signature}`,
    `${btoa('{"typ":"JWT","alg":"none"}')}.${body}.${signature}`,
    `${token}.${signature}`,
    other,
    masterOf(account, createNatsKeys("user"), 1).token(),
  ];
  for (const text of cases) {
    const error = assertThrows(
      () => readCredential(account.publicKey, text, now),
      LoraFleetError,
      "the token was not signed",
    );
    assertEquals(error.code, "unauthorized", text);
  }
});

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { assertUserKey, createNatsKeys, isSignedBy, natsKeysOfSeed } from "./nats_keys.ts";

const data = new TextEncoder().encode("nonce");

Deno.test("a pair of keys signs, also when it is made again from its seed", () => {
  for (const [kind, letter] of [["operator", "O"], ["account", "A"], ["user", "U"]] as const) {
    const keys = createNatsKeys(kind);
    assertMatch(keys.publicKey, new RegExp(`^${letter}[A-Z2-7]{55}$`));
    const again = natsKeysOfSeed(new TextDecoder().decode(keys.seed));
    assertEquals(again.publicKey, keys.publicKey);
    assertEquals(isSignedBy(keys.publicKey, data, again.sign(data)), true);
    assertEquals(isSignedBy(createNatsKeys(kind).publicKey, data, keys.sign(data)), false);
    assertEquals(isSignedBy(keys.publicKey, data, new Uint8Array(3)), false);
  }
});

Deno.test("what is no key is refused, without revealing a secret", () => {
  const { publicKey, seed } = createNatsKeys("user");
  assertUserKey(publicKey);
  for (
    const bad of ["", "U", publicKey.toLowerCase(), createNatsKeys("account").publicKey, `${publicKey}A`]
  ) {
    const error = assertThrows(() => assertUserKey(bad), LoraFleetError, "an NKey of a user is needed");
    assertEquals([error.code, error.param], ["invalid_request", "publicKey"]);
  }
  const secret = new TextDecoder().decode(seed).slice(0, -1);
  const error = assertThrows(() => natsKeysOfSeed(secret), LoraFleetError);
  assertEquals([error.code, error.message.includes(secret)], ["corrupt", false]);
});

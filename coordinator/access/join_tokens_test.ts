import { assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { openAccessStore } from "./access_store.ts";
import { createJoinTokens } from "./join_tokens.ts";

function tokensAt(time = { now: 1000 }) {
  const store = openAccessStore(":memory:");
  return { store, time, tokens: createJoinTokens(store, { now: () => time.now }) };
}

Deno.test("a token is found by its text, and only its hash is stored", () => {
  const { tokens, store } = tokensAt();
  const { record, token } = tokens.create("lab", 500);
  assertMatch(token, /^[0-9A-Za-z]{32}$/);
  assertEquals(tokens.find(token), record);
  assertEquals(tokens.find(`${token}x`), null);
  assertEquals([record.name, record.createdAt, record.expiresAt], ["lab", 1000, 1500]);
  assertEquals(JSON.stringify(store.tokens()).includes(token), false);
  store.close();
});

Deno.test("revoking keeps the first time; an unknown id is an error", () => {
  const { tokens, store, time } = tokensAt();
  const { record } = tokens.create("lab", null);
  assertEquals(tokens.revoke(record.id).revokedAt, 1000);
  time.now = 2000;
  assertEquals(tokens.revoke(record.id).revokedAt, 1000);
  assertThrows(() => tokens.revoke("join-none"), LoraFleetError, "no join token");
  store.close();
});

Deno.test("a usable token stays, an unknown one is adopted, an expired or revoked one is replaced", () => {
  const { tokens, store, time } = tokensAt();
  assertEquals(tokens.usableOr("remembered", "start", 500), "remembered");
  assertEquals(tokens.usableOr("remembered", "start", 500), "remembered");
  assertEquals(tokens.list().length, 1);
  time.now = 1500;
  assertNotEquals(tokens.usableOr("remembered", "start", null), "remembered");
  const made = tokens.usableOr(null, "start", null);
  tokens.revoke(tokens.find(made)!.id);
  assertNotEquals(tokens.usableOr(made, "start", null), made);
  store.close();
});

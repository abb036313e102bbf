import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { redactForms } from "../../shared/redact.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { openAccessStore } from "./access_store.ts";
import { type ApiKeyFields, createApiKeys, NO_QUOTAS } from "./api_keys.ts";

const FIELDS: ApiKeyFields = { name: "team", role: "submit", quotas: NO_QUOTAS, expiresAt: null };

Deno.test("a key is known by its secret until it expires or is revoked; the store has its hash only", async () => {
  const clock = createFakeClock(1000);
  const store = openAccessStore(":memory:");
  const keys = createApiKeys(store, clock);
  const { key, record } = keys.create({ ...FIELDS, expiresAt: 2000 });
  assertMatch(key, /^lfkey-[0-9A-Za-z]{32}$/);
  assert(!JSON.stringify(store.apiKeys()).includes(key));
  assertEquals(keys.identify(key), { keyId: record.id, name: "team", role: "submit", quotas: NO_QUOTAS });
  assertEquals(keys.identify(`${key}x`), null);
  await clock.advance(1000);
  const expired = assertThrows(() => keys.identify(key), LoraFleetError);
  assertEquals([expired.code, expired.message], [
    "unauthorized",
    'the API key "team" has expired: ask an admin for a new one',
  ]);
  keys.change(record.id, { expiresAt: null, role: "read" });
  assertEquals(keys.identify(key)?.role, "read");
  keys.revoke(record.id);
  assertMatch(assertThrows(() => keys.identify(key), LoraFleetError).message, /"team" was revoked/);
  assertEquals(assertThrows(() => keys.change(record.id, {}), LoraFleetError).code, "conflict");
  assertEquals(assertThrows(() => keys.revoke("key-none"), LoraFleetError).code, "not_found");
  store.close();
});

Deno.test("a key in a log line is redacted", () => {
  const store = openAccessStore(":memory:");
  const { key } = createApiKeys(store, createFakeClock(0)).create(FIELDS);
  assertEquals(redactForms(`refused ${key} of team`), "refused [redacted] of team");
  store.close();
});

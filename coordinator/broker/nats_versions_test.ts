import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { checkNatsVersion } from "./nats_versions.ts";

Deno.test("a broker that is too old is refused, an old cluster warned of, each with the version to run", () => {
  for (const version of ["2.8.4", "1.4.1"]) {
    const error = assertThrows(() => checkNatsVersion({ version, cluster: null }), LoraFleetError);
    assertEquals(error.code, "missing_dependency");
    assertMatch(error.message, /nats-server \d\.\d\.\d, which is too old: update it to 2\.12 or newer/);
  }
  assertEquals(checkNatsVersion({ version: "2.9.10", cluster: null }), null);
  assertEquals(checkNatsVersion({ version: "2.12.0-beta.1", cluster: "c" }), null);
  assertEquals(checkNatsVersion({ version: "2.15.3", cluster: "c" }), null);
  assertMatch(
    checkNatsVersion({ version: "2.9.10", cluster: "c" })!,
    /cluster of nats-server 2\.9\.10, with which .* 2\.12/,
  );
  assertMatch(checkNatsVersion({ version: "new", cluster: null })!, /calls its version "new"/);
});

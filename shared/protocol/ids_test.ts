import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import {
  assertToken,
  incarnationSchema,
  jobIdSchema,
  newIncarnation,
  newStartId,
  sha256Schema,
  workerIdOf,
  workerIdSchema,
} from "./ids.ts";

Deno.test("a new id is valid, random, and has the prefix of its kind", () => {
  assertEquals(incarnationSchema.safeParse(newIncarnation()).success, true);
  assertNotEquals(newIncarnation(), newIncarnation());
  const counting = (length: number) => Uint8Array.from({ length }, (_, i) => i);
  assertEquals(newIncarnation(counting), "i-0123456789abcdef");
  assertEquals(newStartId(counting), "s-0123456789abcdef");
});

Deno.test("a worker's id follows from its public key", () => {
  assertEquals(workerIdOf("UA"), "w-sl70qumpllsten4h");
  assertEquals(workerIdSchema.safeParse(workerIdOf("UB")).success, true);
  assertNotEquals(workerIdOf("UA"), workerIdOf("UB"));
});

Deno.test("a name that is not exactly one part of a subject is refused", () => {
  for (const bad of ["", "a.b", "a b", "*", ">", "a*", "-a", "ä", "a\n", "a".repeat(65)]) {
    assertEquals(workerIdSchema.safeParse(bad).success, false, bad);
    assertThrows(() => assertToken("the worker's id", bad), LoraFleetError, "the worker's id is");
  }
  assertEquals(assertToken("x", "pc-1_A"), "pc-1_A");
});

Deno.test("a job's id has its prefix", () => {
  assertEquals(jobIdSchema.safeParse("ftjob-0aZ").success, true);
  for (const bad of ["ftjob-", "job-1", "ftjob-a.b", "ftjob-a>", `ftjob-${"a".repeat(58)}`]) {
    assertEquals(jobIdSchema.safeParse(bad).success, false, bad);
  }
});

Deno.test("a SHA-256 is 64 lower-case digits", () => {
  assertEquals(sha256Schema.safeParse("a0".repeat(32)).success, true);
  assertEquals(sha256Schema.safeParse("A0".repeat(32)).success, false);
  assertEquals(sha256Schema.safeParse("a0".repeat(31)).success, false);
});

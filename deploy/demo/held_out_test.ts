import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { setRowsAside } from "./held_out.ts";

const rows = (count: number) => Array.from({ length: count }, (_, i) => `{"row":${i}}`);
const count = (text: string) => text.split("\n").length - 1;

Deno.test("every tenth row is held out; each row is in exactly one part", () => {
  const { train, heldOut } = setRowsAside(rows(25).join("\r\n") + "\n\n", "d");
  assertEquals(heldOut, '{"row":9}\n{"row":19}\n');
  assertEquals([...train.split("\n"), ...heldOut.split("\n")].filter((row) => row).sort(), rows(25).sort());
});

Deno.test("at most 200 rows are held out, and at least one", () => {
  assertEquals(count(setRowsAside(rows(50_001).join("\n"), "d").heldOut) <= 200, true);
  for (const size of [2, 3, 9, 10]) assertEquals(count(setRowsAside(rows(size).join("\n"), "d").heldOut), 1);
  assertThrows(() => setRowsAside("{}\n", "d.jsonl"), LoraFleetError, '"d.jsonl" has one row');
  assertThrows(() => setRowsAside("\n", "d.jsonl"), LoraFleetError, "no rows");
});

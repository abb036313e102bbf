import { assert, assertEquals } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { errorOf, failureOf, failureSchema } from "./failure.ts";

const there = (thrown: unknown) =>
  errorOf(failureSchema.parse(JSON.parse(JSON.stringify(failureOf(thrown)))));

Deno.test("an error crosses with its code, message and field", () => {
  const error = there(new LoraFleetError("storage", "the disk is full", { param: "folder" }));
  assert(error instanceof LoraFleetError);
  assertEquals([error.code, error.message, error.param], ["storage", "the disk is full", "folder"]);
});

Deno.test("a defect crosses with its stack, and stays a defect", () => {
  const defect = new TypeError("x is undefined");
  const error = there(defect);
  assertEquals([error instanceof LoraFleetError, error.message, error.stack], [
    false,
    defect.message,
    defect.stack,
  ]);
  assertEquals(there("a text").message, "a text");
});

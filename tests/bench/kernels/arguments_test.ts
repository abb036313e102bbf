import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { selectKernels } from "./arguments.ts";
import { CATALOGUE } from "./catalogue.ts";

const KNOWN = ["matmul", "nf4_matmul", "rope"];

Deno.test("names select their kernels, each once and in the catalogue's order", () => {
  assertEquals(selectKernels([], KNOWN), []);
  assertEquals(selectKernels(["rope", "matmul", "rope"], KNOWN), ["matmul", "rope"]);
  assertEquals(selectKernels(["rope", "all"], KNOWN), KNOWN);
});

Deno.test("an unknown name is an error that lists all names, and the nearest if one is near", () => {
  const messageFor = (name: string) =>
    assertThrows(() => selectKernels([name], KNOWN), LoraFleetError).message;
  assertStringIncludes(messageFor("matmull"), 'Did you mean "matmul"?');
  assertStringIncludes(messageFor("nf4-matmul"), 'Did you mean "nf4_matmul"?');
  assertEquals(
    messageFor("softmax"),
    'Benching "softmax" failed: there is no such kernel. The kernels are matmul, nf4_matmul, rope.',
  );
});

Deno.test("the catalogue's names are unique, and none is a keyword of the command", () => {
  const names = CATALOGUE.map(({ name }) => name);
  assertEquals(new Set([...names, "all"]).size, names.length + 1);
});

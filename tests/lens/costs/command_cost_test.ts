import { assert, assertEquals, assertThrows } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import type { RecordedDispatch } from "../fake_gpu/recorded.ts";
import { costOf, KERNEL_COSTS } from "./command_cost.ts";

const kernels = join(dirname(fromFileUrl(import.meta.url)), "../../../worker/kernels");

/** Labels in the sources of kernels: literals, and the names that become labels of a forward and a backward. */
async function labelsIn(folder: string): Promise<string[]> {
  const labels: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) labels.push(...await labelsIn(path));
    else if (/(?<!_test)\.ts$/.test(name)) {
      const source = await Deno.readTextFile(path);
      labels.push(...[...source.matchAll(/\blabel: "(\w+)"/g)].map(([, label]) => label!));
      labels.push(
        ...[...source.matchAll(/\bforwardOf\("(\w+)"/g)].flatMap((
          [, label],
        ) => [label!, `${label}_backward`]),
      );
    }
  }
  return labels;
}

Deno.test("every kernel of the worker has a formula", async () => {
  const labels = await labelsIn(kernels);
  assert(labels.length > 15);
  assertEquals(labels.filter((label) => !(label in KERNEL_COSTS)), []);
});

Deno.test("a kernel without a formula is an error that names it, not a step that looks cheap", () => {
  const dispatch = { kind: "dispatch", kernel: "new_kernel" } as unknown as RecordedDispatch;
  assertThrows(() => costOf(dispatch), RangeError, '"new_kernel"');
});

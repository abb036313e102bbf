import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import type { ExportKind } from "../../shared/job/export_kinds.ts";
import { type JobExports, writeExports } from "./exports.ts";

type Made = Awaited<ReturnType<JobExports["make"]>>;

/** Exports of which some cannot be made. */
function exportsWithout(failing: Readonly<Record<string, Error>>, done: string[]) {
  return {
    make: (kind: ExportKind) => {
      const failure = failing[kind];
      return failure === undefined ? Promise.resolve({ id: kind } as Made) : Promise.reject(failure);
    },
    download: ({ id }: Made, folder: string) => Promise.resolve(void done.push(`${id} in ${folder}`)),
    push: ({ id }: Made, repo: string) => Promise.resolve(`https://hub/${repo}/${id}`),
  };
}

Deno.test("an export that fails costs neither the others nor the push, and is the run's failure", async () => {
  const [done, lines]: [string[], string[]] = [[], []];
  const failure = new LoraFleetError("aborted", "the export gguf failed: no name for its tokenizer");
  const further = await writeExports(
    { exports: ["merged", "gguf", "adapter"], outFolder: "/o", pushTo: "org/tuned" },
    exportsWithout({ gguf: failure }, done),
    (line) => lines.push(line),
  );
  assertEquals(further, { exports: ["merged", "adapter"], failure });
  assertEquals(done, ["merged in /o/merged", "adapter in /o/adapter"]);
  assertEquals(lines.slice(1, 3), ["exporting: gguf", `error: ${failure.message}`]);
  assertEquals(lines.at(-1), "pushed: https://hub/org/tuned/merged");
});

Deno.test("what was to be pushed has failed: nothing else is pushed in its place", async () => {
  const failure = new LoraFleetError("aborted", "the disk is full");
  const lines: string[] = [];
  const further = await writeExports(
    { exports: ["merged", "gguf"], outFolder: "/o", pushTo: "org/tuned" },
    exportsWithout({ merged: failure }, []),
    (line) => lines.push(line),
  );
  assertEquals(further, { exports: ["gguf"], failure });
  assertEquals(lines.filter((line) => line.includes("push")), []);
});

Deno.test("an interruption is no failed export", async () => {
  await assertRejects(
    () =>
      writeExports(
        { exports: ["merged"], outFolder: "/o", pushTo: null },
        exportsWithout({ merged: new DOMException("interrupted", "AbortError") }, []),
        () => {},
      ),
    DOMException,
  );
});

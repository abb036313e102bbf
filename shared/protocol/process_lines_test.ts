import { assertEquals, assertRejects } from "@std/assert";
import { z } from "zod";
import { readLines, writeLine } from "./process_lines.ts";

const schema = z.strictObject({ step: z.int() });

/** What a process writes that sends three messages while someone else writes, too. */
function written(...between: readonly string[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  const output = {
    // A pipe may take a part.
    writeSync(bytes: Uint8Array) {
      const taken = bytes.slice(0, 7);
      parts.push(taken);
      return taken.length;
    },
  };
  for (const [step, text] of between.entries()) {
    parts.push(new TextEncoder().encode(text));
    writeLine({ step }, output);
  }
  return parts;
}

async function read(parts: readonly Uint8Array[]): Promise<number[]> {
  return (await Array.fromAsync(readLines(ReadableStream.from(parts), schema))).map(({ step }) => step);
}

Deno.test("messages arrive between what others write, even in the middle of their lines", async () => {
  const parts = written("", "[17] Scavenge 2.1 (3.0) -> 1.9 MB\n", "[17] Mark-Com");
  parts.push(new TextEncoder().encode('pact 9 MB\n{"step":9}\n7\nlast'));
  assertEquals(await read(parts), [0, 1, 2]);
});

Deno.test("a message of ours that does not fit is a defect; one cut off by the process's end is none", async () => {
  const parts = written("");
  assertEquals(await read(parts.slice(0, -1)), []);
  const wrong: Uint8Array[] = [];
  writeLine({ step: "one" }, { writeSync: (bytes) => wrong.push(bytes) * bytes.length });
  await assertRejects(() => read(wrong), z.ZodError);
});

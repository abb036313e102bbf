/**
 * Messages of a child process on its standard output, a line of JSON each. Others write there as well: V8 its traces (DENO_V8_FLAGS
 * is inherited), a library a hint, and not only whole lines. So each message starts on a line of its own, with a mark.
 */
import type { z } from "zod";

const MARK = "lorafleet: ";

/** Called by the child. Blocks until the pipe has taken all of it. */
export function writeLine(
  message: unknown,
  output: { writeSync(bytes: Uint8Array): number } = Deno.stdout,
): void {
  const line = new TextEncoder().encode(`\n${MARK}${JSON.stringify(message)}\n`);
  for (let at = 0; at < line.length;) at += output.writeSync(line.subarray(at));
}

/** The child's messages as they come, and nothing of anyone else. Throws for one that does not fit `schema`. */
export async function* readLines<T>(
  stdout: ReadableStream<Uint8Array>,
  schema: z.ZodType<T>,
): AsyncGenerator<T> {
  let text = "";
  for await (const part of stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (text + part).split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith(MARK)) yield schema.parse(JSON.parse(line.slice(MARK.length)));
    }
  }
}

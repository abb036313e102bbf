import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { limitsDocument } from "./limits_document.ts";
import { root } from "./named_tests.ts";

Deno.test("docs/limits.md is what the code makes of it; `deno task limits` writes it", async () => {
  const path = join(root, "docs/limits.md");
  const made = await limitsDocument();
  if (Deno.args.includes("--write")) await Deno.writeTextFile(path, made);
  assertEquals(await Deno.readTextFile(path), made);
});

Deno.test("every limit of the protocol is in it, with its value", async () => {
  const made = await limitsDocument();
  for (const name of Object.keys(LIMITS)) assertStringIncludes(made, `| \`${name}\` |`);
  assertStringIncludes(made, "| `heartbeatIntervalMs` | 250 ms |");
  assertStringIncludes(made, "| `slowestLinkBytesPerSecond` | 1 MiB/s |");
  assertStringIncludes(made, "| a part of an upload | 64 MiB |");
});

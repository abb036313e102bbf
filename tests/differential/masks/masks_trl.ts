/**
 * Compares lorafleet with what masks_trl.py wrote of TRL's own templates, and prints the table of README.md:
 *
 *     deno run -A tests/differential/masks/masks_trl.ts /tmp/masks/trl.json [the template whose differences are shown]
 */
import { z } from "zod";
import { loadTokenizer, type Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { buildRow, type Outcome, readChatRows, show } from "./rows.ts";

const outcomeSchema = z.union([
  z.object({ ids: z.array(z.number()), mask: z.string() }),
  z.object({ refused: z.string() }),
]);
const fileSchema = z.object({
  templates: z.record(z.string(), z.string()),
  tokenizers: z.record(z.string(), z.string()),
  cases: z.array(z.object({
    tokenizer: z.string(),
    template: z.string(),
    chat: z.string(),
    assistant: outcomeSchema,
    has_training: z.boolean(),
    same_text: z.boolean(),
    completion: outcomeSchema,
  })),
});

const [path, shown] = Deno.args;
const file = fileSchema.parse(JSON.parse(await Deno.readTextFile(path!)));
const rows = await readChatRows();
const tokenizers = new Map<string, Tokenizer>();
for (const [name, folder] of Object.entries(file.tokenizers)) {
  tokenizers.set(name, await loadTokenizer(folder));
}

/** What differs, in a word; null if nothing does. */
function difference(ours: Outcome, theirs: Outcome): string | null {
  if ("refused" in theirs) return "refused" in ours ? null : "only ours trains";
  if ("refused" in ours) return "only ours refuses";
  if (ours.ids.join() !== theirs.ids.join()) return "ids";
  return ours.mask === theirs.mask ? null : "mask";
}

const table = new Map<string, Map<string, number>>();
for (const one of file.cases) {
  const tokenizer = tokenizers.get(one.tokenizer)!;
  for (const kind of ["assistant", "completion"] as const) {
    const ours = buildRow(tokenizer, file.templates[one.template]!, rows.get(one.chat)![kind]);
    const theirs = one[kind];
    const isComparable = kind === "completion" || one.same_text || "refused" in theirs;
    const word = kind === "assistant" && !one.has_training
      ? "TRL cannot"
      : isComparable
      ? difference(ours, theirs)
      : "TRL trains a different text";
    const counts = table.get(one.template) ?? new Map<string, number>();
    table.set(one.template, counts);
    const key = word === null ? "equal" : `${kind}: ${word}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    if (word !== null && one.template === shown) {
      console.log(`${one.template} · ${one.tokenizer} · ${one.chat} · ${key}`);
      console.log(`  TRL  ${show(tokenizer, theirs)}\n  ours ${show(tokenizer, ours)}`);
    }
  }
}
for (const [template, counts] of table) {
  const rest = [...counts].filter(([key]) => key !== "equal").map(([key, count]) => `${count} × ${key}`);
  console.log(
    `${template.padEnd(36)}${String(counts.get("equal") ?? 0).padStart(3)} equal  ${rest.join(", ")}`,
  );
}

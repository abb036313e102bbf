/** Chats and templates of our own against what transformers and TRL make of them (masks_trl.py). */
import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { z } from "zod";
import { loadTokenizer, type Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { buildRow, type Outcome, readChatRows, show } from "./rows.ts";

const pathOf = (name: string) => fromFileUrl(new URL(name, import.meta.url));

const cases = z.array(z.object({
  tokenizer: z.string(),
  template: z.string(),
  chat: z.string(),
  ids: z.array(z.number()),
  /** A bit for each token; "" where the libraries refuse the row. */
  assistant: z.string(),
  /** The first trained token of the chat as prompt and completion; -1 where they refuse. */
  completion: z.number(),
})).parse(JSON.parse(await Deno.readTextFile(pathOf("goldens.json"))));
const rows = await readChatRows();
const tokenizers: Readonly<Record<string, Tokenizer>> = {
  mask_tokenizer: await loadTokenizer(pathOf("tokenizer")),
  data_byte_level: await loadTokenizer(pathOf("../../golden/data/byte_level")),
};

/** The same template without its marks of the assistant's words: the turns have to be found. */
function unmarked(template: string): string {
  return template.replaceAll(/\{%(-?) (?:end)?generation (-?)%\}/g, "{%$1 set unused = 0 $2%}");
}

for (const name of new Set(cases.map(({ template }) => template))) {
  const template = await Deno.readTextFile(pathOf(`templates/${name}.jinja`));
  const own = cases.filter((one) => one.template === name);
  for (const [kind, source] of [["marked", template], ["unmarked", unmarked(template)]] as const) {
    Deno.test(`${name}, ${kind}: ids and masks of ${own.length} rows are those of TRL`, () => {
      for (const { tokenizer: key, chat, ids, assistant, completion } of own) {
        const tokenizer = tokenizers[key]!;
        const wanted: Record<"assistant" | "completion", Outcome | null> = {
          assistant: assistant === "" ? null : { ids, mask: assistant },
          completion: completion === -1
            ? null
            : { ids, mask: ids.map((_, i) => i < completion ? "0" : "1").join("") },
        };
        for (const row of ["assistant", "completion"] as const) {
          const found = buildRow(tokenizer, source, rows.get(chat)![row]);
          const kept = "refused" in found ? null : found;
          if (JSON.stringify(kept) === JSON.stringify(wanted[row])) continue;
          const expected = wanted[row] === null ? "refused" : show(tokenizer, wanted[row]);
          assertEquals(show(tokenizer, found), expected, `${key}, ${chat}, ${row}`);
          assertEquals(kept, wanted[row], `${key}, ${chat}, ${row}`);
        }
      }
    });
  }
}

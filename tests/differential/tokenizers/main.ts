/**
 * Compares all texts with the Rust library's results and prints the table.
 *
 *     deno run -A tests/differential/tokenizers/main.ts
 */
import { FAMILIES, findDifferences, readFamily, TEXT_COUNT } from "./compare.ts";

console.log("| family | model | added tokens | texts | different |\n|---|---|---|---|---|");
let sum = 0;
for (const name of FAMILIES) {
  const { model, added_tokens } = await readFamily(name);
  const texts = (await findDifferences(name, TEXT_COUNT)).flat();
  console.log(`| ${name} | ${model.type} | ${added_tokens.length} | ${TEXT_COUNT} | ${texts.length} |`);
  for (const text of texts.slice(0, 10)) console.error(`${name}: among them ${JSON.stringify(text)}`);
  sum += texts.length;
}
Deno.exit(sum === 0 ? 0 : 1);

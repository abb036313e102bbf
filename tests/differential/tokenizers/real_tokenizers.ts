/** The other half of real_tokenizers.py: prints the texts whose hashes differ. */
import { createTokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { parseTokenizerJson } from "../../../shared/data/tokenizer/files/tokenizer_files.ts";
import { hashText } from "./compare.ts";

const request = JSON.parse(await Deno.readTextFile(Deno.args[0]!));
const tokenizer = createTokenizer({
  tokenizer: parseTokenizerJson(JSON.parse(await Deno.readTextFile(request.path))),
  ...{ config: {}, specialTokensMap: {}, addedTokensFile: {}, stopIds: [], chatTemplate: null },
});
const different = request.texts.filter((text: string, index: number) =>
  hashText(0x811c9dc5, tokenizer, text) !== request.hashes[index]
);
console.log(JSON.stringify(different));

/** Checks a folder's tokenizer before there is any text to tokenise. */
import { checkParts } from "./pipeline.ts";
import { readFilesBeside, readTokenizerOutline } from "./files/tokenizer_files.ts";

/**
 * Of tokenizer.json besides vocabulary and merges: parsing takes about 10 ms per MiB and blocks all requests. With more, such as
 * the thousands of added tokens of Gemma 3, the tokenizer is checked when the data is prepared; so are vocabulary and merges.
 */
const MAX_BYTES = 2 ** 20;

/** Throws a `LoraFleetError` with code `invalid_model` that names the file that is missing, damaged or not supported. */
export async function checkTokenizer(folder: string): Promise<void> {
  await readFilesBeside(folder);
  const outline = await readTokenizerOutline(folder, MAX_BYTES);
  if (outline !== null) checkParts(outline);
}

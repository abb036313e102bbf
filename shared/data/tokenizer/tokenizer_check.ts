/** Checks a folder's tokenizer before there is any text to tokenise. */
import { join } from "@std/path";
import { LoraFleetError, messageOf } from "../../errors.ts";
import { checkParts } from "./pipeline.ts";
import { noTokenizer, readFilesBeside, readTokenizerJson } from "./files/tokenizer_files.ts";

/**
 * Parsing takes about 10 ms per MiB and blocks all requests. A larger tokenizer.json than this, Llama 3's among
 * them, is checked when the data is prepared.
 */
const MAX_BYTES = 4 * 1024 * 1024;

/** Throws a `LoraFleetError` with code `invalid_model` that names the file that is missing, damaged or not supported. */
export async function checkTokenizer(folder: string): Promise<void> {
  await readFilesBeside(folder);
  if (await sizeOfTokenizer(folder) <= MAX_BYTES) checkParts(await readTokenizerJson(folder));
}

async function sizeOfTokenizer(folder: string): Promise<number> {
  try {
    return (await Deno.stat(join(folder, "tokenizer.json"))).size;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) throw noTokenizer(folder);
    throw new LoraFleetError("invalid_model", `cannot read tokenizer.json: ${messageOf(cause)}`, {
      param: "tokenizer.json",
      cause,
    });
  }
}

/** How a base model's tables will lie on a GPU, told before anything is loaded. */
import {
  expectedTableFormats,
  storedTableFormats,
  type TableFormats,
} from "../../shared/memory/table_sizes.ts";
import { embeddingsName, HEAD_NAME } from "../../shared/model/model_tensors.ts";
import { storedName } from "../../shared/model/tied_head.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import { selectModelFiles } from "./files.ts";
import { readTensorHeaders } from "./headers.ts";

const TABLES = [embeddingsName, () => HEAD_NAME];

/** By the weights in `folder`; without weights, or with others than these, as config.json's type lets expect. */
export async function readTableFormats(folder: string, spec: TransformerSpec): Promise<TableFormats> {
  const expected = expectedTableFormats(spec);
  try {
    const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
    const readIndex = () => Deno.readTextFile(`${folder}/model.safetensors.index.json`);
    const files = (await selectModelFiles(names, readIndex)).filter((name) => name.endsWith(".safetensors"));
    const headers = await Promise.all(files.map((name) => readTensorHeaders(`${folder}/${name}`, name)));
    const types = new Map(headers.flat().map(({ name, dtype }) => [name, dtype]));
    const typeOf = (name: string) => types.get(storedName(name, spec, (wanted) => types.has(wanted)));
    if (TABLES.some((table) => typeOf(table(spec)) === undefined)) return expected;
    return storedTableFormats(spec, (name) => typeOf(name)!);
  } catch {
    return expected; // the check of the job says what is wrong with the weights
  }
}

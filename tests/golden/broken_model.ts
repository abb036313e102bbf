/** Broken copies of golden base models. */
import { openSafetensors } from "../../shared/checkpoint/safetensors.ts";
import { type TensorData, writeSafetensors } from "../../shared/checkpoint/safetensors_write.ts";
import { type LadderCaseName, loadLadderCase } from "./golden.ts";

export interface ModelChanges {
  /** Folder of the model to copy, such as `model_nf4`; left out: `model`. */
  readonly folder?: string;
  /** Overrides fields of config.json. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly tensors?: (tensors: TensorData[]) => TensorData[];
  /** The whole file, after `tensors`. */
  readonly bytes?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array;
}

export interface BrokenModel extends AsyncDisposable {
  readonly folder: string;
}

/** Copies a case's base model, which has one safetensors file, with changes. */
export async function brokenModel(name: LadderCaseName, changes: ModelChanges): Promise<BrokenModel> {
  const source = loadLadderCase(name).modelFolder.replace(/model$/, changes.folder ?? "model");
  const folder = await Deno.makeTempDir();
  const config = JSON.parse(await Deno.readTextFile(`${source}/config.json`));
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify({ ...config, ...changes.config }));
  const path = `${folder}/model.safetensors`;
  const file = openSafetensors(`${source}/model.safetensors`);
  const tensors = [...file.tensors.values()].map(({ name, dtype, shape }) => {
    return { name, dtype, shape, data: file.read(name) };
  });
  await writeSafetensors(path, changes.tensors?.(tensors) ?? tensors);
  if (changes.bytes !== undefined) await Deno.writeFile(path, changes.bytes(await Deno.readFile(path)));
  return { folder, [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
}

/** Replaces the tensor `name`, or drops it if `change` returns null. */
export function changeTensor(
  name: string,
  change: (tensor: TensorData) => TensorData | null,
): (tensors: TensorData[]) => TensorData[] {
  return (tensors) => {
    if (!tensors.some((tensor) => tensor.name === name)) throw new RangeError(`no tensor ${name} to change`);
    return tensors.flatMap((tensor) => tensor.name === name ? change(tensor) ?? [] : tensor);
  };
}

/**
 * Adapters of every family, written by lorafleet and loaded by the real PEFT: each case of the golden ladder gets the adapter that
 * ten steps made, its two files are written as a worker writes them, and PEFT's logits are compared with ours.
 *
 *     PYTHON=<with tests/golden/make/requirements.txt> deno run -A tests/clients/peft/adapters.ts
 */
import { dirname, fromFileUrl, join } from "@std/path";
import { LADDER_CASES, loadLadderCase, writeLogits } from "../../golden/golden.ts";
import { allLogits, loadGoldenModel } from "../../golden/golden_model.ts";
import { flattenTensors } from "../../golden/golden.ts";
import { writeAdapter } from "../../../worker/files/adapter_file.ts";

const golden = join(dirname(fromFileUrl(import.meta.url)), "../../golden");
const python = Deno.env.get("PYTHON") ?? "python3";
let failures = 0;

for (const name of LADDER_CASES) {
  const folder = await Deno.makeTempDir();
  try {
    const ladder = loadLadderCase(name);
    const model = await loadGoldenModel(ladder);
    const { layout } = model.lora;
    model.flat.write(flattenTensors(layout, ladder.finalAdapter));
    const tensors = layout.tensors.map(({ name, shape }) => (
      { name, shape, data: ladder.finalAdapter.get(name)! }
    ));
    await writeAdapter(folder, { tensors, lora: ladder.lora, baseModelName: ladder.modelFolder });
    const { batch } = ladder.batches[0]!;
    await writeLogits(join(folder, "logits.safetensors"), batch, await allLogits(model, batch));
    const { code, stdout, stderr } = await new Deno.Command(python, {
      args: [
        join(golden, "make/check_adapter.py"),
        ...[
          "--model",
          ladder.modelFolder,
          "--adapter",
          folder,
          "--logits",
          join(folder, "logits.safetensors"),
        ],
        ...(ladder.doubleQuantization ? [] : ["--single-quantization"]),
      ],
    }).output();
    const text = new TextDecoder();
    const last = (bytes: Uint8Array) => text.decode(bytes).trim().split("\n").at(-1) ?? "";
    console.log(`${name.padEnd(16)}${code === 0 ? last(stdout) : `FAILED: ${last(stderr)}`}`);
    if (code !== 0) failures++;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
console.log(
  `${
    LADDER_CASES.length - failures
  } of ${LADDER_CASES.length} adapters are loaded by PEFT and give our logits`,
);
Deno.exit(failures > 0 ? 1 : 0);

import { assertEquals, assertRejects } from "@std/assert";
import { brokenModel, changeTensor } from "../../tests/golden/broken_model.ts";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { LoraFleetError } from "../errors.ts";
import { openCheckpoint } from "./checkpoint_reader.ts";
import { absmaxOf } from "./nf4/nf4.ts";
import type { TensorData } from "./safetensors_write.ts";
import { linearModules } from "../model/model_tensors.ts";

const golden = loadLadderCase("gqa_tied");
const folder = "model_nf4";
const layer = "model.layers.0.self_attn.q_proj";
const weight = `${layer}.weight`;
const STATE = ".quant_state.bitsandbytes__nf4";

const readFrom = async (path: string) =>
  (await openCheckpoint(path)).readLinear(layer, 96, 96, { doubleQuantization: false });

Deno.test("weights stored by bitsandbytes have the bits of our double quantisation, under any options", async () => {
  const stored = await openCheckpoint(golden.modelFolder.replace(/model$/, folder));
  const plain = await openCheckpoint(golden.modelFolder);
  for (const { name, outFeatures, inFeatures } of linearModules(plain.spec)) {
    assertEquals(
      await stored.readLinear(name, outFeatures, inFeatures, { doubleQuantization: false }),
      await plain.readLinear(name, outFeatures, inFeatures, { doubleQuantization: true }),
    );
  }
});

/** Changes the JSON text that bitsandbytes stores as bytes. */
const changeState = (change: (state: Record<string, unknown>) => unknown) =>
  changeTensor(weight + STATE, (tensor) => {
    const text = new TextDecoder().decode(tensor.data as Uint8Array<ArrayBuffer>);
    const data = new TextEncoder().encode(JSON.stringify(change(JSON.parse(text))));
    return { ...tensor, shape: [data.length], data };
  });

const BROKEN: [what: string, tensors: (tensors: TensorData[]) => TensorData[], words: string][] = [
  ["its state is missing", changeTensor(weight + STATE, () => null), "only bitsandbytes' NF4 is supported"],
  [
    "its absmax is missing",
    changeTensor(`${weight}.absmax`, () => null),
    `"${weight}.absmax": it is missing`,
  ],
  ["its codebook is missing", changeTensor(`${weight}.quant_map`, () => null), `"${weight}.quant_map"`],
  [
    "its codebook is not NF4's",
    changeTensor(`${weight}.quant_map`, (tensor) => ({ ...tensor, data: new Float32Array(16) })),
    "its values are not NF4's",
  ],
  [
    "its absmax is too short",
    changeTensor(
      `${weight}.absmax`,
      (tensor) => ({ ...tensor, shape: [100], data: tensor.data.subarray(0, 100) }),
    ),
    "it has 100 × U8, 144 × U8 is needed",
  ],
  ["it is FP4", changeState((state) => ({ ...state, quant_type: "fp4" })), "quant_type"],
  ["its blocks are longer", changeState((state) => ({ ...state, blocksize: 128 })), "blocksize"],
  ["its shape is wrong", changeState((state) => ({ ...state, shape: [48, 192] })), "its shape is [48, 192]"],
  [
    "its offset is missing",
    changeState(({ nested_offset: _, ...state }) => state),
    "nested_offset is missing",
  ],
  [
    "its state is no JSON",
    changeTensor(weight + STATE, (tensor) => ({ ...tensor, shape: [1], data: Uint8Array.of(123) })),
    STATE,
  ],
];

for (const [what, tensors, words] of BROKEN) {
  Deno.test(`a stored weight is refused if ${what}`, async () => {
    await using model = await brokenModel("gqa_tied", { folder, tensors });
    const error = await assertRejects(() => readFrom(model.folder), LoraFleetError, words);
    assertEquals([error.code, error.param?.startsWith(weight)], ["invalid_model", true]);
  });
}

Deno.test("a different dynamic map is honoured: absmax becomes f32", async () => {
  await using model = await brokenModel("gqa_tied", {
    folder,
    tensors: changeTensor(`${weight}.nested_quant_map`, (tensor) => {
      const data = new Float32Array(tensor.data.slice().buffer).map((value) => value / 2);
      return { ...tensor, data };
    }),
  });
  const halved = await readFrom(model.folder);
  const whole = await readFrom(golden.modelFolder.replace(/model$/, folder));
  assertEquals([halved.absmaxCodes, halved.codes], [null, whole.codes]);
  const offset = whole.nestedOffset;
  absmaxOf(whole).forEach((value, block) => {
    const expected = (value - offset) / 2 + offset;
    assertEquals(Math.abs(absmaxOf(halved)[block]! - expected) < 1e-6, true);
  });
});

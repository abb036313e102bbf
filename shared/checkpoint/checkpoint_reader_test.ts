import { assert, assertEquals, assertRejects } from "@std/assert";
import { brokenModel, changeTensor, type ModelChanges } from "../../tests/golden/broken_model.ts";
import { LADDER_CASES, loadLadderCase } from "../../tests/golden/golden.ts";
import { LoraFleetError } from "../errors.ts";
import { openCheckpoint } from "./checkpoint_reader.ts";
import { embeddingsName, linearModules } from "../model/model_tensors.ts";

for (const name of LADDER_CASES) {
  Deno.test(`${name}: every tensor of the base model is found, in one file or in shards`, async () => {
    const { spec, readTensor, readLinear, tensorNames } = await openCheckpoint(
      loadLadderCase(name).modelFolder,
    );
    const embeddings = await readTensor(embeddingsName(spec), [spec.vocabSize, spec.hiddenSize]);
    const head = await readTensor("lm_head.weight", [spec.vocabSize, spec.hiddenSize]);
    assertEquals(head.every((value, i) => value === embeddings[i]), spec.tieWordEmbeddings);
    for (const { name, outFeatures, inFeatures } of linearModules(spec)) {
      const weights = await readLinear(name, outFeatures, inFeatures, { doubleQuantization: true });
      assertEquals([weights.rows, weights.columns, weights.absmax], [outFeatures, inFeatures, null]);
    }
    assertEquals(tensorNames, tensorNames.toSorted());
  });
}

const up = "model.layers.0.mlp.up_proj.weight";
const BROKEN: [what: string, changes: ModelChanges, words: string][] = [
  ["a linear layer is missing", { tensors: changeTensor(up, () => null) }, `"${up}" is missing`],
  [
    "a linear layer has the wrong shape",
    { tensors: changeTensor(up, (tensor) => ({ ...tensor, shape: [96, 104] })) },
    `"${up}" is [96, 104], config.json says [104, 96]`,
  ],
  [
    "a norm is missing",
    { tensors: changeTensor("model.layers.1.input_layernorm.weight", () => null) },
    '"model.layers.1.input_layernorm.weight" is missing',
  ],
  ["config.json counts more layers", { config: { num_hidden_layers: 3 } }, '"model.layers.2.'],
  ["config.json has a different vocabulary", { config: { vocab_size: 130 } }, "config.json says [130, 96]"],
  [
    "the head is untied but missing",
    { config: { tie_word_embeddings: false } },
    '"lm_head.weight" is missing',
  ],
  [
    "config.json sets a field that no kernel computes",
    { config: { hidden_act: "relu" } },
    'hidden_act is "relu"',
  ],
  ["the file is cut", { bytes: (bytes) => bytes.subarray(0, 5000) }, "truncated"],
  ["the header lies", { bytes: lieAboutOffsets }, "starts at byte"],
];

/** Moves the first tensor's start by four bytes: all lengths in the header stay the same. */
function lieAboutOffsets(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
  const text = new TextDecoder("latin1").decode(bytes);
  const lie = text.replace(
    /"shape":\[(\d+),(\d+)\],"data_offsets":\[0,(\d+)\]/,
    (entry, rows, columns, end) => {
      const moved = `"shape":[${rows},${columns}],"data_offsets":[4,${Number(end) + 4}]`;
      return moved.length === entry.length ? moved : entry;
    },
  );
  assert(lie !== text);
  return Uint8Array.from(lie, (character) => character.charCodeAt(0));
}

for (const [what, changes, words] of BROKEN) {
  Deno.test(`a base model is refused if ${what}`, async () => {
    await using model = await brokenModel("gqa_tied", changes);
    const error = await assertRejects(() => openCheckpoint(model.folder), LoraFleetError, words);
    assertEquals(error.code, "invalid_model");
  });
}

Deno.test("quantising a NaN weight is refused by its tensor's name", async () => {
  const bad = (data: Uint8Array | Float32Array) => {
    const values = new Float32Array(data.slice().buffer);
    values[100] = NaN;
    return values;
  };
  await using model = await brokenModel("gqa_tied", {
    tensors: changeTensor(up, (tensor) => ({ ...tensor, data: bad(tensor.data) })),
  });
  const { readLinear } = await openCheckpoint(model.folder);
  const read = () => readLinear("model.layers.0.mlp.up_proj", 104, 96, { doubleQuantization: true });
  const error = await assertRejects(read, LoraFleetError, "elements 64 and 127 is NaN");
  assertEquals([error.code, error.param], ["invalid_model", up]);
});

Deno.test("folders without a model, with a damaged index, or with a missing shard", async () => {
  const source = loadLadderCase("llama3_sharded").modelFolder;
  const folder = await Deno.makeTempDir();
  try {
    const refused = async (code: string, words: string) => {
      const error = await assertRejects(() => openCheckpoint(folder), LoraFleetError, words);
      assertEquals(error.code, code);
    };
    await refused("model_not_found", "config.json");
    await Deno.writeTextFile(`${folder}/config.json`, "{ nothing");
    await refused("invalid_model", "config.json");
    await Deno.copyFile(`${source}/config.json`, `${folder}/config.json`);
    await refused("model_not_found", "neither model.safetensors nor model.safetensors.index.json");
    const index = "model.safetensors.index.json";
    await Deno.writeTextFile(`${folder}/${index}`, "[]");
    await refused("invalid_model", index);
    await Deno.copyFile(`${source}/${index}`, `${folder}/${index}`);
    await refused("invalid_model", '-of-00003.safetensors" is missing');
    const { weight_map } = JSON.parse(await Deno.readTextFile(`${source}/${index}`));
    for (const shard of new Set<string>(Object.values(weight_map))) {
      await Deno.copyFile(`${source}/${shard}`, `${folder}/${shard}`);
    }
    await openCheckpoint(folder);
    // The index's entries for single tensors do not count, as in transformers.
    const stale = {
      ...weight_map,
      "model.norm.weight": weight_map["model.embed_tokens.weight"],
      "model.layers.9.mlp.up_proj.weight": weight_map["lm_head.weight"],
    };
    delete stale["model.layers.0.self_attn.q_proj.weight"];
    await Deno.writeTextFile(`${folder}/${index}`, JSON.stringify({ weight_map: stale }));
    const { tensorNames } = await openCheckpoint(folder);
    assertEquals(tensorNames, Object.keys(weight_map).sort());
    const outside = { ...weight_map, "model.norm.weight": "../../secret.safetensors" };
    await Deno.writeTextFile(`${folder}/${index}`, JSON.stringify({ weight_map: outside }));
    await refused("invalid_model", "weight_map.model.norm.weight");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** The golden's tied model with a stored output layer that is the embedding table, changed. */
function withHead(
  change: (head: Float32Array) => Float32Array,
  names = ["model.embed_tokens.weight"],
): ModelChanges {
  return {
    tensors: (tensors) => {
      const embeddings = tensors.find(({ name }) => name === "model.embed_tokens.weight")!;
      const values = new Float32Array(new Uint8Array(embeddings.data.buffer).slice().buffer);
      return [
        ...tensors.filter(({ name }) => name !== embeddings.name || names.includes(name)),
        { ...embeddings, name: "lm_head.weight", data: change(values) },
      ];
    },
  };
}

Deno.test("tied by config.json, but with a different output layer: not tied, as in transformers 5", async () => {
  const head = await headOf(withHead((values) => values.map((value) => -value)));
  assertEquals(head.tied, false);
  assertEquals(head.head, head.embeddings.map((value) => -value));
});

Deno.test("tied, with the same values stored twice, or under the output layer's name alone: tied", async () => {
  // 0 equals -0, as in torch.
  for (const names of [["model.embed_tokens.weight"], []]) {
    const head = await headOf(withHead((values) => values.map((value) => value === 0 ? -0 : value), names));
    assertEquals([head.tied, head.head.every((value, i) => value === head.embeddings[i])], [true, true]);
  }
});

async function headOf(changes: ModelChanges) {
  await using model = await brokenModel("gqa_tied", changes);
  const { spec, readTensor } = await openCheckpoint(model.folder);
  const shape = [spec.vocabSize, spec.hiddenSize];
  return {
    tied: spec.tieWordEmbeddings,
    embeddings: await readTensor("model.embed_tokens.weight", shape),
    head: await readTensor("lm_head.weight", shape),
  };
}

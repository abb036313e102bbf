/** Generation for many prompts at once, greedy or by chance, with a KV cache. Prompts are packed end to end, as in training, without padding. */
import { LoraFleetError } from "../../../shared/errors.ts";
import { longRopeStart } from "../../../shared/model/positions/long_rope.ts";
import { windowStart, windowWithin } from "../../../shared/model/positions/sliding_window.ts";
import type { GpuTensor } from "../../device/tensor.ts";
import { encodeAttention } from "../../kernels/attention/attention.ts";
import { encodeScatterRows } from "../../kernels/elementwise/rows.ts";
import { type Attend, headsOf, pairsOf, rangesOf } from "../attention_block.ts";
import { encodeBestToken, encodeHeadInput, readLogits } from "../head.ts";
import { type GenerationPass, planPasses, type Sequence } from "./generation_pass.ts";
import type { LanguageModel } from "../language_model.ts";
import { attendedPairs } from "../micro_batch_upload.ts";
import type { LayerPass } from "../pass_context.ts";
import { type Chooser, createChooser, type Sampling } from "./sampling.ts";

interface GenerateOptions {
  readonly maxNewTokens: number;
  /** Ids that end an answer and are not part of it. */
  readonly stopTokens: ReadonlySet<number>;
  /** Null or left out: the most likely token each time. */
  readonly sampling?: Sampling | null;
}

export class Generator {
  readonly #model: LanguageModel;
  readonly #cacheTokens: number;
  readonly #caches: readonly { readonly key: GpuTensor; readonly value: GpuTensor }[];
  readonly #cacheRows: GpuTensor;

  /**
   * @param cacheTokens capacity of the KV cache, shared by all prompts of a wave
   * @throws LoraFleetError `does_not_fit`
   */
  constructor(model: LanguageModel, cacheTokens: number) {
    const { gpu, spec, maxTokens } = model;
    this.#model = model;
    this.#cacheTokens = cacheTokens;
    const bytes = cacheTokens * spec.kvHeadCount * spec.headDim * 4;
    this.#caches = model.layers.map((_, layer) => ({
      key: gpu.allocate(`key cache ${layer}`, bytes),
      value: gpu.allocate(`value cache ${layer}`, bytes),
    }));
    this.#cacheRows = gpu.allocate("cache rows", maxTokens * 4);
  }

  /**
   * An answer to each prompt, token by token, until a stop token or `maxNewTokens`. The answer to an empty prompt is
   * empty.
   * @throws LoraFleetError `does_not_fit`, before any work, if a prompt alone exceeds the cache, a pass or the positions
   */
  async generate(prompts: readonly Uint32Array[], options: GenerateOptions): Promise<number[][]> {
    prompts.forEach((prompt, index) => this.#assertFits(prompt.length, index, options.maxNewTokens));
    const answers: number[][] = [];
    for (let next = 0; next < prompts.length;) {
      const wave = this.#waveFrom(prompts, next, options.maxNewTokens);
      const { sampling = null } = options;
      const choosers = sampling === null ? null : wave.map((_, i) => createChooser(sampling, next + i));
      await this.#answerWave(wave, options, choosers);
      answers.push(...wave.map(({ answer }) => answer));
      next += wave.length;
    }
    return answers;
  }

  #assertFits(length: number, index: number, maxNewTokens: number): void {
    const { maxTokens, maxPositions } = this.#model;
    if (length <= maxTokens && length + maxNewTokens <= Math.min(this.#cacheTokens, maxPositions)) return;
    throw new LoraFleetError(
      "does_not_fit",
      `Generating failed: prompt ${index} has ${length} tokens and may get ${maxNewTokens} more; a pass takes ` +
        `${maxTokens} tokens, the cache ${this.#cacheTokens}, and there are ${maxPositions} positions`,
    );
  }

  /** As many prompts as fit in the cache and in one pass, at least one. */
  #waveFrom(prompts: readonly Uint32Array[], first: number, maxNewTokens: number): Sequence[] {
    const wave: Sequence[] = [];
    let [cached, passTokens] = [0, 0];
    for (let index = first; index < prompts.length; index++) {
      const prompt = prompts[index]!;
      const needed = prompt.length + maxNewTokens;
      if (cached + needed > this.#cacheTokens || passTokens + prompt.length > this.#model.maxTokens) break;
      wave.push({ prompt, cacheStart: cached, answer: [], cached: 0, done: prompt.length === 0 });
      cached += needed;
      passTokens += prompt.length;
    }
    return wave;
  }

  async #answerWave(
    wave: readonly Sequence[],
    { maxNewTokens, stopTokens }: GenerateOptions,
    choosers: readonly Chooser[] | null,
  ): Promise<void> {
    for (let count = 0; count < maxNewTokens; count++) {
      const sequences = wave.filter(({ done }) => !done);
      if (sequences.length === 0) return;
      const active = choosers?.filter((_, index) => !wave[index]!.done) ?? null;
      const chosen = await this.#chooseNext(sequences, active);
      sequences.forEach((sequence, index) => {
        const token = chosen[index]!;
        if (stopTokens.has(token)) sequence.done = true;
        else sequence.answer.push(token);
      });
    }
  }

  /** The next token of each sequence. */
  async #chooseNext(sequences: readonly Sequence[], choosers: readonly Chooser[] | null): Promise<number[]> {
    const { spec, maxTokens, maxPositions } = this.#model;
    const chosen: number[] = [];
    for (const pass of planPasses(sequences, maxTokens, longRopeStart(spec, maxPositions))) {
      const ending = choosers?.slice(chosen.length, chosen.length + pass.lastRows.length) ?? null;
      chosen.push(...await this.#run(pass, ending));
    }
    return chosen;
  }

  /** Runs one pass and returns the next token of each sequence that ends in it: the most likely one, or by `choosers`. */
  async #run(generation: GenerationPass, choosers: readonly Chooser[] | null): Promise<number[]> {
    const { tokens, ropeRows, keyStarts, cacheRows, lastRows } = generation;
    const model = this.#model;
    const { gpu, workspace } = model;
    const starts = Uint32Array.from(keyStarts);
    const ends = Uint32Array.from(cacheRows, (row) => row + 1);
    gpu.write(workspace.tokens, Uint32Array.from(tokens));
    gpu.write(workspace.ropeRows, Uint32Array.from(ropeRows));
    gpu.write(workspace.keyStarts, starts);
    gpu.write(workspace.keyEnds, ends);
    gpu.write(this.#cacheRows, Uint32Array.from(cacheRows));
    gpu.write(workspace.headRows, Uint32Array.from(lastRows));
    const window = windowWithin(model.spec, model.maxPositions);
    if (window !== null) {
      gpu.write(workspace.windowKeyStarts!, starts.map((start, t) => windowStart(start, ends[t]!, window)));
    }
    const pairs = attendedPairs(starts, (t) => ends[t]!, window);
    const context = { ...model.contextFor(tokens.length, null), pairs };
    const hidden = model.encodeForward(context, (at, layer) => this.#attendTo(at, layer));
    if (lastRows.length === 0) {
      gpu.submit(); // before the next pass is written
      return [];
    }
    encodeHeadInput(context, model.weights, hidden, lastRows.length);
    if (choosers !== null) {
      const logits = await readLogits(gpu, context, model.weights, lastRows.length);
      const size = model.spec.vocabSize;
      return choosers.map((choose, row) => choose(logits.subarray(row * size, (row + 1) * size)));
    }
    encodeBestToken(context, model.weights, lastRows.length);
    return [...new Uint32Array(await gpu.read(workspace.bestToken, lastRows.length * 4))];
  }

  /** Adds the pass's keys and values to a layer's cache, then attends to the cache. */
  #attendTo(at: LayerPass, layer: number): Attend {
    const { context } = at;
    const { pass, spec, workspace, rows } = context;
    const { keyStarts } = rangesOf(at);
    const { key, value } = this.#caches[layer]!;
    const columns = spec.kvHeadCount * spec.headDim;
    return (q, k, v, out, lse) => {
      encodeScatterRows(pass, { x: k, indices: this.#cacheRows, y: key, rows, columns });
      encodeScatterRows(pass, { x: v, indices: this.#cacheRows, y: value, rows, columns });
      const keys = { k: key, v: value, keyStarts, keyEnds: workspace.keyEnds };
      const sizes = { queryCount: rows, ...pairsOf(at), ...headsOf(context) };
      encodeAttention(pass, { q, ...keys, out, lse, ...sizes });
    };
  }
}

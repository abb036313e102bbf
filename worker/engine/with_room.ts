/** What becomes of a computation for which the GPU has no memory left, because another program took it. */
import { isOutOfMemory } from "../device/error_scopes.ts";
import type { LanguageModel } from "../model/language_model.ts";

/**
 * Computes, and again with fewer kept layers as long as memory runs out and there are some to give back.
 * @param compute starts anew each time, and changes nothing before it has succeeded
 * @param tell gets a sentence for each repetition
 */
export async function withRoom<T>(
  model: Pick<LanguageModel, "keptLayers" | "keepFewerLayers">,
  compute: () => Promise<T>,
  tell: (note: string) => void,
): Promise<T> {
  for (;;) {
    try {
      return await compute();
    } catch (thrown) {
      const before = model.keptLayers;
      if (!isOutOfMemory(thrown) || !model.keepFewerLayers()) throw thrown;
      tell(
        `${thrown.message}: the GPU has no memory left. The activations of ${model.keptLayers} layers are kept from now ` +
          `on, of ${before} before, the others computed again; gradients keep their bits`,
      );
    }
  }
}

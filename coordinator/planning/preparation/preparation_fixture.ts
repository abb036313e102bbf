/** A preparation in the test's own process: the same work as in one of its own, without a start of it. */
import { prepareRows } from "./prepare_rows.ts";
import type { runPreparationChild } from "./preparation_child.ts";
import { writePrepared } from "./prepared_cache.ts";

export const runHere: typeof runPreparationChild = async (request, { signal, onProgress }) => {
  signal.throwIfAborted();
  using rows = await prepareRows(request, { onProgress });
  await writePrepared(request.outputPath, request.key, rows);
};

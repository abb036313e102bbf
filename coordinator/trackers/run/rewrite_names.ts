/** Metric names as transformers' callbacks for TensorBoard and W&B write them: `train/loss`, `eval/loss`. */
export function rewriteNames(values: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name.startsWith("eval_") ? `eval/${name.slice("eval_".length)}` : `train/${name}`,
      value,
    ]),
  );
}

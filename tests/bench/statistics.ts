/** The value below which `share` of the values lie. */
export function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))]!;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Median, 95 % and maximum. */
export function summaryOf(values: readonly number[]): number[] {
  return [quantile(values, 0.5), quantile(values, 0.95), Math.max(...values)];
}

/** A number with its noun: `1 step`, `2 steps`; `plural` for nouns that take no s. */
export function counted(count: number | bigint, noun: string, plural = `${noun}s`): string {
  return `${count} ${Number(count) === 1 ? noun : plural}`;
}

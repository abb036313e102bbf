/** Clocks, timers and randomness: only mains and adapters touch the real ones, so that a test can own them. */

/** Files that may read the machine's clock, draw its randomness or set timers: mains and adapters to the real world. */
const realWorld = [
  /(^|\/)(main|run)\.ts$/,
  /^shared\/clock\.ts$/,
  /^shared\/bus\/nats_/,
  /^tests\//,
  /_test\.tsx?$/,
];

/** Uses of the real clock or of unseeded randomness outside of mains and adapters, one line for each. */
export function realWorldUses(path: string, source: string): string[] {
  if (realWorld.some((pattern) => pattern.test(path))) return [];
  const uses: string[] = [];
  const withoutComments = source.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, (text) => text.replace(/[^\n]/g, ""));
  for (const [index, code] of withoutComments.split("\n").entries()) {
    const match = /\b(Date\.now|Math\.random|setTimeout|setInterval)\b|\bnew Date\(\)/.exec(code);
    if (match) {
      uses.push(`${path}:${index + 1} uses ${match[0]}: take it from shared/clock.ts or shared/prng.ts`);
    }
  }
  return uses;
}

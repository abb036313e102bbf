/**
 * The template mechanism of kernels that need unrolling or variants. Directives are WGSL comments, so that a template
 * stays readable as WGSL:
 *
 *     //! for i in 0..TILE            repeats the lines, with $i replaced; bounds are integers or constants
 *     //! end
 *     //! if ACCUMULATE               keeps the lines when the constant is true or not zero (`if !NAME`: when it is not)
 *     //! end
 *
 * Loops nest. Constants are replaced like loop variables, by `$name` or `${name}`. WGSL itself folds arithmetic on them.
 * naga bounds-checks loops and never unrolls them: unrolled GEMM loops ran 6–8 times faster.
 */
export type TemplateConstants = Readonly<Record<string, number | boolean>>;

/** @throws RangeError naming the line of a malformed directive */
export function expandTemplate(source: string, constants: TemplateConstants): string {
  const lines = source.split("\n");
  const out: string[] = [];
  const end = expandBlock(lines, 0, constants, out, true);
  if (end !== lines.length) throw new RangeError(`template line ${end + 1}: "end" without "for" or "if"`);
  return out.join("\n");
}

/** Expands from `start` to the matching `end` (or the file's end) and returns that line's index. */
function expandBlock(
  lines: readonly string[],
  start: number,
  scope: TemplateConstants,
  out: string[],
  keep: boolean,
): number {
  for (let index = start; index < lines.length; index++) {
    const line = lines[index]!;
    const directive = /^\s*\/\/!\s*(.*?)\s*$/.exec(line)?.[1];
    if (directive === undefined) {
      if (keep) out.push(substitute(line, scope));
    } else if (directive === "end") {
      return index;
    } else {
      const close = expandDirective(directive, lines, index, scope, out, keep);
      if (close >= lines.length) {
        throw new RangeError(`template line ${index + 1}: "${directive}" has no "end"`);
      }
      index = close;
    }
  }
  return lines.length;
}

function expandDirective(
  directive: string,
  lines: readonly string[],
  index: number,
  scope: TemplateConstants,
  out: string[],
  keep: boolean,
): number {
  const loop = /^for (\w+) in (\w+)\.\.(\w+)$/.exec(directive);
  if (loop) {
    const [from, to] = [valueOf(loop[2]!, scope, index), valueOf(loop[3]!, scope, index)];
    let close = expandBlock(lines, index + 1, { ...scope, [loop[1]!]: from }, out, false);
    for (let i = from; keep && i < to; i++) {
      close = expandBlock(lines, index + 1, { ...scope, [loop[1]!]: i }, out, true);
    }
    return close;
  }
  const condition = /^if (!?)(\w+)$/.exec(directive);
  if (condition) {
    const truth = valueOf(condition[2]!, scope, index) !== 0;
    return expandBlock(lines, index + 1, scope, out, keep && truth !== (condition[1] === "!"));
  }
  throw new RangeError(
    `template line ${index + 1}: "${directive}" is neither "for x in a..b" nor "if NAME" nor "end"`,
  );
}

function valueOf(name: string, scope: TemplateConstants, index: number): number {
  const value = /^\d+$/.test(name) ? Number(name) : scope[name];
  if (value === undefined) throw new RangeError(`template line ${index + 1}: "${name}" is not a constant`);
  return Number(value);
}

function substitute(line: string, scope: TemplateConstants): string {
  return line.replace(
    /\$(?:\{(\w+)\}|(\w+))/g,
    (text, braced?: string, plain?: string) => String(scope[(braced ?? plain)!] ?? text),
  );
}

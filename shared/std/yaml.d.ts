/** Parses one YAML document. Throws `SyntaxError`. */
export function parse(content: string): unknown;

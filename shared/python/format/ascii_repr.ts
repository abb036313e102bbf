import { repr } from "../values/repr.ts";
import type { Value } from "../values/value.ts";

export function asciiRepr(value: Value): string {
  return repr(value).replace(/[^ -~]/gu, (char) => {
    const point = char.codePointAt(0)!;
    const [letter, width] = point <= 0xff ? ["x", 2] : point <= 0xffff ? ["u", 4] : ["U", 8];
    return `\\${letter}${point.toString(16).padStart(width as number, "0")}`;
  });
}

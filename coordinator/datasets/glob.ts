/** Patterns for files of a repository, as `datasets` resolves them through fsspec. */

/**
 * `*` and `?` stay within a folder, `**` matches any folders, `[…]` is a set. Hidden files, and folders that begin with `__`, are
 * matched only by patterns that spell that beginning out.
 */
export function globFilter(pattern: string): (path: string) => boolean {
  const expression = new RegExp(`^${expressionOf(pattern)}$`);
  const [hidden, special] = [countHidden(pattern), countSpecial(pattern)];
  return (path) => expression.test(path) && countHidden(path) === hidden && countSpecial(path) === special;
}

export function hasGlob(pattern: string): boolean {
  return /[*?[]/.test(pattern);
}

/** As fsspec's `glob_translate`: `**` is a pattern of its own only as a whole part of the path. */
function expressionOf(pattern: string): string {
  const parts = pattern.replace(/\/+/g, "/").split("/");
  return parts.map((part, index) => {
    const isLast = index === parts.length - 1;
    if (part === "**") return isLast ? ".*" : "(?:.+/)?";
    return partExpression(part) + (isLast ? "" : "/");
  }).join("");
}

function partExpression(part: string): string {
  let text = "";
  for (let at = 0; at < part.length; at++) {
    const character = part[at]!;
    if (character === "*") {
      while (part[at + 1] === "*") at++;
      text += "[^/]*";
    } else if (character === "?") text += "[^/]";
    else if (character === "[") {
      const end = part.indexOf("]", at + 2);
      if (end < 0) text += "\\[";
      else {
        const set = part.slice(at + 1, end).replace(/[\\\]^]/g, "\\$&");
        text += part[at + 1] === "!" ? `[^${set.slice(1)}]` : `[${set}]`;
        at = end;
      }
    } else text += character.replace(/[\\^$.|+(){}\]]/, "\\$&");
  }
  return text;
}

const countHidden = (path: string) =>
  path.split("/").filter((part) => part.startsWith(".") && !/^\.+$/.test(part)).length;
const countSpecial = (path: string) =>
  path.split("/").slice(0, -1).filter((part) => part.startsWith("__")).length;

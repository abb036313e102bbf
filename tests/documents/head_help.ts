/** `--help` of the tasks for developers: the comment at the head of their file, which says the options already. */
import { fromFileUrl } from "@std/path";

/** The text of the comment with which a source file begins; empty where it begins with none. */
export function headComment(source: string): string {
  const text = /^\/\*\*([\s\S]*?)\*\//.exec(source)?.[1] ?? "";
  return text.split("\n").map((line) => line.replace(/^ \*? ?/, "").trimEnd()).join("\n").trim();
}

/** Prints it and ends the process where `--help` or `-h` is among the arguments. */
export function exitWithHelp(url: string): void {
  if (!Deno.args.includes("--help") && !Deno.args.includes("-h")) return;
  console.log(headComment(Deno.readTextFileSync(fromFileUrl(url))));
  Deno.exit(0);
}

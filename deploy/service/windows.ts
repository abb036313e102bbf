/** A script that Windows' task scheduler runs at log-on. */

interface ScriptOptions {
  readonly command: readonly string[];
  readonly root: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly log: string;
}

export function windowsFolder(home: string): string {
  return `${home}\\AppData\\Local\\lorafleet`;
}

/** Starts the program again when it ends, but not after wrong usage (2). */
export function taskScript({ command, root, variables, log }: ScriptOptions): string {
  const settings = Object.entries(variables).map(([name, value]) => `$env:${name} = ${quoted(value)}`);
  const [program, ...args] = command;
  return [
    ...settings,
    `Set-Location -LiteralPath ${quoted(root)}`,
    "do {",
    `  & ${quoted(program!)} ${args.map(quoted).join(" ")} *>> ${quoted(log)}`,
    "  if ($LASTEXITCODE -eq 2) { exit 2 }",
    "  Start-Sleep -Seconds 5",
    "} while ($true)",
    "",
  ].join("\r\n");
}

/** PowerShell's verbatim string. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

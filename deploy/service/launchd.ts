/** An agent of launchd for one of our programs. */

interface AgentOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly root: string;
  readonly variables: Readonly<Record<string, string>>;
  /** Standard output and error. */
  readonly log: string;
}

export function launchAgent({ name, command, root, variables, log }: AgentOptions): string {
  const words = command.map((word) => `    <string>${escaped(word)}</string>`).join("\n");
  const pairs = Object.entries(variables).map(([key, value]) =>
    `    <key>${escaped(key)}</key>\n    <string>${escaped(value)}</string>`
  ).join("\n");
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${escaped(name)}</string>
  <key>ProgramArguments</key>
  <array>
${words}
  </array>
  <key>WorkingDirectory</key>
  <string>${escaped(root)}</string>
  <key>EnvironmentVariables</key>
  <dict>
${pairs}
  </dict>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <true/>
  <key>ThrottleInterval</key>
  <integer>10</integer>
  <key>ExitTimeOut</key>
  <integer>120</integer>
  <key>StandardOutPath</key>
  <string>${escaped(log)}</string>
  <key>StandardErrorPath</key>
  <string>${escaped(log)}</string>
</dict>
</plist>
`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
